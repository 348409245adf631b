"""ESD: ten Mandarin and ten English speakers say 350 sentences of their language in five emotions.

File names: ``0011/Angry/0011_000351.wav``, with a folder ``evaluation``, ``test`` or ``train`` below the emotion in
some copies. The number says the emotion too, 350 for each, and so does the table ``0011/0011.txt``, where it is there:
tab-separated file stem, text and emotion. Folder and number must agree; the table is the weakest witness, for the
published ones hold broken lines.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from emodag.corpora.base import Clip, Corpus, NotAClip, all_files, emotion_from, matched
from emodag.labels import NATIVE_LABELS, in_order

#: In the order of their numbers: 1-350, 351-700, ...
_LABELS = ("neutral", "angry", "happy", "sad", "surprise")
_CLIPS_PER_LABEL = 350
_FIRST_ENGLISH_SPEAKER = 11

#: After ReadMe.txt of the official distribution; the other ten speakers are male.
FEMALE_SPEAKERS = frozenset({1, 2, 3, 7, 9, 15, 16, 17, 18, 19})

_NAME = re.compile(r"(?P<speaker>00(?:0[1-9]|1\d|20))_(?P<number>\d{6})")
_TABLE = re.compile(r"00(?:0[1-9]|1\d|20)\.txt")


def _open(folder: Path) -> Callable[[PurePosixPath], Clip]:
    said: dict[str, str] = {}
    for path in all_files(folder):
        if _TABLE.fullmatch(path.name):
            said |= _table(folder / path)

    def parse(path: PurePosixPath) -> Clip:
        match = matched(_NAME, path, "0011_000351")
        number = int(match["number"])
        if not 1 <= number <= _CLIPS_PER_LABEL * len(_LABELS):
            raise NotAClip("unknown_name", f"{path}: number {number}; accepted: 1 to {_CLIPS_PER_LABEL * len(_LABELS)}")
        index, within = divmod(number - 1, _CLIPS_PER_LABEL)
        native_label = _LABELS[index]
        folders = [part.lower() for part in path.parts[:-1] if part.lower() in _LABELS]
        for label in folders:
            if label != native_label:
                raise NotAClip("label_conflict", f"{path}: the folder says {label}, the number says {native_label}")
        note = None
        tabled = said.get(path.stem, native_label)
        if tabled != native_label:
            conflict = f"the table of speaker {match['speaker']} says {tabled}"
            if not folders:
                raise NotAClip("label_conflict", f"{path}: the number says {native_label}, {conflict}")
            note = f"{path.name}: folder and number say {native_label}, {conflict}"
        speaker = int(match["speaker"])
        language = "zh" if speaker < _FIRST_ENGLISH_SPEAKER else "en"
        return Clip(
            stem=path.stem,
            speaker=match["speaker"],
            sex="female" if speaker in FEMALE_SPEAKERS else "male",
            emotion=emotion_from("esd", native_label, path),
            native_label=native_label,
            language=language,
            text_id=f"{language}{within + 1:03d}",
            note=note,
        )

    return parse


def _table(path: Path) -> dict[str, str]:
    """The labels that a speaker's table gives, by file stem; lines of another form and other words say nothing."""
    labels = {}
    for line in _text(path.read_bytes()).splitlines():
        stem, _, rest = line.strip().partition("\t")
        label = rest.rpartition("\t")[2].strip().lower()
        if label in _LABELS:
            labels[stem.strip()] = label
    return labels


def _text(content: bytes) -> str:
    """Text in any of the four encodings that the published tables mix: UTF-8, UTF-16, GB 2312, Latin-1."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


CORPUS = Corpus(
    name="esd",
    title="Emotional Speech Dataset (ESD)",
    languages=("en", "zh"),
    emotions=in_order(NATIVE_LABELS["esd"].values()),
    licence="research only",
    citation=(
        "Zhou, Sisman, Liu and Li (2022), Emotional voice conversion: Theory, databases and ESD, "
        "Speech Communication 137: 1-18, doi:10.1016/j.specom.2021.11.006"
    ),
    source="GitHub, HLTSingapore/Emotional-Speech-Data",
    clips=35_000,
    speakers=20,
    instructions="Add the folder that holds 0001 ... 0020, or only the speakers wanted (0011 ... 0020 are English).",
    open=_open,
)
