"""TESS: two women of Toronto, aged 64 (OAF) and 26 (YAF), say "Say the word ..." with 200 words in seven emotions.

File names: ``OAF_angry/OAF_back_angry.wav``: speaker, word, emotion; ``ps`` is pleasant surprise, which some copies
spell out. ``OA_bite_neutral`` is named so by the publisher.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from emodag.corpora.base import Clip, Corpus, emotion_from, matched
from emodag.labels import NATIVE_LABELS, in_order

_NAME = re.compile(r"(?P<speaker>OAF?|YAF?)_(?P<word>[a-z]+)_(?P<emotion>[a-z]+(?:_[a-z]+)?)", re.IGNORECASE)
_SPEAKERS = {"O": "OAF", "Y": "YAF"}
_AGES = {"OAF": 64, "YAF": 26}


def _parse(path: PurePosixPath) -> Clip:
    match = matched(_NAME, path, "OAF_back_angry")
    speaker = _SPEAKERS[match["speaker"][0].upper()]
    word, native_label = match["word"].lower(), match["emotion"].lower()
    emotion = emotion_from("tess", native_label, path)
    prefix = match["speaker"].upper()
    return Clip(
        stem=f"{prefix}_{word}_{'ps' if emotion == 'surprised' else native_label}",
        speaker=speaker,
        sex="female",
        age=_AGES[speaker],
        emotion=emotion,
        native_label=native_label,
        language="en",
        text_id=word,
        note=None if prefix == speaker else f"{path.name}: {prefix} read as speaker {speaker}",
    )


CORPUS = Corpus(
    name="tess",
    title="Toronto emotional speech set (TESS)",
    languages=("en",),
    emotions=in_order(NATIVE_LABELS["tess"].values()),
    licence="CC BY-NC-ND 4.0",
    citation=(
        "Pichora-Fuller and Dupuis (2020), Toronto emotional speech set (TESS), Borealis, doi:10.5683/SP2/E8H2MF"
    ),
    source="Borealis, doi:10.5683/SP2/E8H2MF",
    clips=2800,
    speakers=2,
    instructions="Add the folder that holds OAF_angry ... YAF_sad, or one with all files.",
    parse=_parse,
)
