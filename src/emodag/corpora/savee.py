"""SAVEE: four English men speak 120 sentences each in seven emotions.

File names: ``DC_a01.wav``, or ``DC/a01.wav`` in the official layout: speaker, emotion letters, number. Of every
emotion the first three sentences are common to all emotions, which the text ids ``common1`` to ``common3`` say. The men
were 27 to 31 years old; whose age is which is not published.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from emodag.corpora.base import Clip, Corpus, NotAClip, emotion_from, matched
from emodag.labels import NATIVE_LABELS, in_order

SPEAKERS = ("DC", "JE", "JK", "KL")

_NAME = re.compile(r"(?:(?P<speaker>[A-Z]{2})_)?(?P<emotion>[A-Z]{1,2})(?P<number>\d\d)", re.IGNORECASE)
_COMMON = 3
_SENTENCES, _NEUTRAL_SENTENCES = 15, 30


def _parse(path: PurePosixPath) -> Clip:
    match = matched(_NAME, path, "DC_a01, or a01 in a folder DC")
    speaker = (match["speaker"] or path.parent.name).upper()
    if speaker not in SPEAKERS:
        raise NotAClip("unknown_speaker", f"{path}: speaker {speaker!r}; accepted: {', '.join(SPEAKERS)}")
    native_label = match["emotion"].lower()
    emotion = emotion_from("savee", native_label, path)
    number, last = int(match["number"]), _NEUTRAL_SENTENCES if native_label == "n" else _SENTENCES
    if not 1 <= number <= last:
        raise NotAClip("unknown_name", f"{path}: number {number}; accepted for {emotion}: 01 to {last}")
    sentence = f"{native_label}{match['number']}"
    return Clip(
        stem=f"{speaker}_{sentence}",
        speaker=speaker,
        sex="male",
        emotion=emotion,
        native_label=native_label,
        language="en",
        text_id=f"common{number}" if number <= _COMMON else sentence,
    )


CORPUS = Corpus(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion (SAVEE)",
    languages=("en",),
    emotions=in_order(NATIVE_LABELS["savee"].values()),
    licence="research only, by registration",
    citation=(
        "Haq and Jackson (2010), Multimodal Emotion Recognition, in: Machine Audition: Principles, Algorithms and "
        "Systems, IGI Global, 398-423, doi:10.4018/978-1-61520-919-4"
    ),
    source="kahlan.eps.surrey.ac.uk/savee",
    clips=480,
    speakers=4,
    instructions="Register, unpack AudioData.zip and add the folder that holds DC, JE, JK and KL.",
    parse=_parse,
)
