"""CREMA-D: 91 American actors speak twelve sentences in six emotions at up to three levels.

File names: ``<actor>_<sentence>_<emotion>_<level>``, for instance ``1001_DFA_ANG_XX.wav``; level ``XX`` is unspecified.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from emodag.corpora.base import Clip, Corpus, NotAClip, emotion_from, matched
from emodag.labels import NATIVE_LABELS, in_order

_NAME = re.compile(
    r"(?P<actor>10(?:0[1-9]|[1-8]\d|9[01]))_(?P<sentence>DFA|IEO|IOM|ITH|ITS|IWL|IWW|MTI|TAI|TIE|TSI|WSI)"
    r"_(?P<emotion>[A-Z]{3})_(?P<level>LO|MD|HI|XX?)",
    re.IGNORECASE,
)
_LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": None}

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
    if not any(folder.rglob("AudioWAV")):
        return _parse

    def parse(path: PurePosixPath) -> Clip:
        if not {"AudioMP3", "VideoFlash"}.isdisjoint(path.parts):
            raise NotAClip("other_format", f"{path}: AudioWAV holds the same recordings uncompressed")
        return _parse(path)

    return parse


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
    instructions="Clone with Git LFS (else the files are pointers, not audio) and add the folder AudioWAV.",
    open=_open,
)
