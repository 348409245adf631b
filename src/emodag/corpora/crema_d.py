"""CREMA-D: 91 American actors speak twelve sentences in six emotions at up to three levels.

File names: ``<actor>_<sentence>_<emotion>_<level>``, for instance ``1001_DFA_ANG_XX.wav``; level ``XX`` is unspecified.

Two tables of the official distribution are read where they lie beside the clips: ``VideoDemographics.csv`` has the
actors' ages, ``summaryTable.csv`` has the emotion for which most listeners voted who heard the sound alone. Where
several emotions got as many votes (``A:F``), none was heard.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from emodag.corpora.base import Clip, Corpus, NotAClip, Note, emotion_from, matched
from emodag.errors import CorpusError
from emodag.labels import NATIVE_LABELS, in_order

_NAME = re.compile(
    r"(?P<actor>10(?:0[1-9]|[1-8]\d|9[01]))_(?P<sentence>DFA|IEO|IOM|ITH|ITS|IWL|IWW|MTI|TAI|TIE|TSI|WSI)"
    r"_(?P<emotion>[A-Z]{3})_(?P<level>LO|MD|HI|XX?)",
    re.IGNORECASE,
)
_LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": None}

_AGES, _VOTES = "VideoDemographics.csv", "summaryTable.csv"
_VOTED = {"N": "neutral", "H": "happy", "S": "sad", "A": "angry", "F": "fearful", "D": "disgust"}

#: After VideoDemographics.csv of the official distribution; the other 48 actors are male.
FEMALE_ACTORS = frozenset(
    {
        1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1012, 1013, 1018, 1020, 1021, 1024, 1025, 1028, 1029, 1030,
        1037, 1043, 1046, 1047, 1049, 1052, 1053, 1054, 1055, 1056, 1058, 1060, 1061, 1063, 1072, 1073, 1074, 1075,
        1076, 1078, 1079, 1082, 1084, 1089, 1091,
    }
)  # fmt: skip


def _parse(path: PurePosixPath) -> Clip:
    match = matched(_NAME, path, "1001_DFA_ANG_XX")
    level = match["level"].upper()
    note = None
    if level == "X":
        level, note = "XX", f"{path.name}: level X read as XX, unspecified"
    return Clip(
        stem=path.stem.upper(),
        speaker=match["actor"],
        sex="female" if int(match["actor"]) in FEMALE_ACTORS else "male",
        emotion=emotion_from("crema_d", match["emotion"], path),
        native_label=match["emotion"].lower(),
        language="en",
        intensity=_LEVELS[level],
        text_id=match["sentence"].upper(),
        note=note,
    )


def _open(folder: Path) -> Callable[[PurePosixPath], Clip]:
    """The official checkout holds every clip as WAV, as MP3 and as video: there, only the WAV files are clips."""
    others = {"AudioMP3", "VideoFlash"} if any(folder.rglob("AudioWAV")) else set()
    ages, heard = _ages(folder), _perceived(folder)

    def parse(path: PurePosixPath) -> Clip:
        if not others.isdisjoint(path.parts):
            raise NotAClip("other_format", f"{path}: AudioWAV holds the same recordings uncompressed")
        clip = _parse(path)
        # The table spells out the level that the one misnamed file cuts short.
        name = f"{clip.stem}X" if clip.note else clip.stem
        return replace(clip, age=ages.get(clip.speaker), perceived=heard.get(name))

    return parse


def _ages(folder: Path) -> dict[str, int]:
    """Actor -> age in years."""
    ages = {}
    for place, (actor, age) in _rows(folder, _AGES, ("ActorID", "Age")):
        if not age.isdecimal():
            raise CorpusError(f"{place}: Age {age!r}; accepted: whole years")
        ages[actor] = int(age)
    return ages


def _perceived(folder: Path) -> dict[str, str]:
    """Clip -> the emotion that most listeners heard, where one was heard more often than any other."""
    heard = {}
    for place, (name, vote) in _rows(folder, _VOTES, ("FileName", "VoiceVote")):
        if strangers := sorted(set(vote.split(":")) - set(_VOTED)):
            raise CorpusError(f"{place}: VoiceVote {strangers[0]!r}; accepted: {', '.join(_VOTED)}, joined by colons")
        if vote in _VOTED:
            heard[name] = _VOTED[vote]
    return heard


def _rows(folder: Path, name: str, columns: tuple[str, str]) -> list[tuple[str, tuple[str, str]]]:
    """Where each row of a table stands, and its cells in two columns; none where the folder has no such table."""
    path = _table(folder, name)
    if path is None:
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        if absent := [column for column in columns if column not in (table.fieldnames or ())]:
            raise CorpusError(f"{path}: no column {', '.join(absent)}; found: {', '.join(table.fieldnames or ())}")
        first, second = columns
        return [(f"{path}: row {number}", (row[first], row[second] or "")) for number, row in enumerate(table, start=2)]


def _table(folder: Path, name: str) -> Path | None:
    return min(folder.rglob(name), default=None)


def _find_notes(folder: Path) -> list[Note]:
    missing = {_AGES: "ages are unknown", _VOTES: "what listeners heard is unknown"}
    return [
        ("crema_d", "missing_table", f"{name} does not lie beside the clips, so {what}")
        for name, what in missing.items()
        if _table(folder, name) is None
    ]


CORPUS = Corpus(
    name="crema_d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)",
    languages=("en",),
    emotions=in_order(NATIVE_LABELS["crema_d"].values()),
    licence="ODbL 1.0",
    citation=(
        "Cao, Cooper, Keutmann, Gur, Nenkova and Verma (2014), CREMA-D: Crowd-sourced Emotional Multimodal Actors "
        "Dataset, IEEE Transactions on Affective Computing 5(4): 377-390, doi:10.1109/TAFFC.2014.2336244"
    ),
    source="GitHub, CheyneyComputerScience/CREMA-D",
    clips=7442,
    speakers=91,
    instructions=(
        "Clone with Git LFS (else the files are pointers, not audio) and add a folder with AudioWAV and, for ages and "
        "what listeners heard, VideoDemographics.csv and processedResults/summaryTable.csv."
    ),
    open=_open,
    find_notes=_find_notes,
)
