"""EmoDB, the Berlin database: ten German actors speak ten sentences in seven emotions.

File names: ``03a01Fa.wav``: speaker, text, emotion letter (of the German word), take.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from emodag.corpora.base import Clip, Corpus, emotion_from, matched
from emodag.labels import NATIVE_LABELS, in_order

#: Sex and age in years of the actors, as published with the corpus.
ACTORS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}

_NAME = re.compile(
    rf"(?P<speaker>{'|'.join(ACTORS)})(?P<text>a0[12457]|b0[1239]|b10)(?P<emotion>[A-Z])(?P<take>[a-z])", re.IGNORECASE
)


def _parse(path: PurePosixPath) -> Clip:
    match = matched(_NAME, path, "03a01Fa")
    text = match["text"].lower()
    sex, age = ACTORS[match["speaker"]]
    return Clip(
        stem=f"{match['speaker']}{text}{match['emotion'].upper()}{match['take'].lower()}",
        speaker=match["speaker"],
        sex=sex,
        age=age,
        emotion=emotion_from("emodb", match["emotion"], path),
        native_label=match["emotion"].lower(),
        language="de",
        text_id=text,
    )


CORPUS = Corpus(
    name="emodb",
    title="Berlin Database of Emotional Speech (EmoDB)",
    languages=("de",),
    emotions=in_order(NATIVE_LABELS["emodb"].values()),
    licence="free for research, cite the paper",
    citation=(
        "Burkhardt, Paeschke, Rolfes, Sendlmeier and Weiss (2005), A database of German emotional speech, "
        "Interspeech 2005, 1517-1520, doi:10.21437/Interspeech.2005-446"
    ),
    source="emodb.bilderbar.info",
    clips=535,
    speakers=10,
    instructions="Add the folder wav of the download.",
    parse=_parse,
)
