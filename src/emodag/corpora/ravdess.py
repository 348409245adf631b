"""RAVDESS: 24 North American actors speak two sentences in eight emotions (speech, audio only).

File names hold seven codes: modality, channel, emotion, intensity, statement, repetition, actor; for instance
``Actor_12/03-01-06-01-02-01-12.wav``. Actors of even number are female.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from emodag.corpora.base import Clip, Corpus, NotAClip, emotion_from, matched
from emodag.labels import NATIVE_LABELS, in_order

_NAME = re.compile(
    r"(?P<modality>\d\d)-(?P<channel>\d\d)-(?P<emotion>\d\d)-(?P<intensity>\d\d)"
    r"-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>0[1-9]|1\d|2[0-4])"
)
_EXAMPLE = "03-01-06-01-02-01-12"
_INTENSITIES = {"01": "normal", "02": "strong"}
_VIDEO = {"01": "video with sound", "02": "video without sound"}


def _parse(path: PurePosixPath) -> Clip:
    match = matched(_NAME, path, _EXAMPLE)
    if match["modality"] in _VIDEO:
        raise NotAClip("video", f"{path}: modality {match['modality']} is {_VIDEO[match['modality']]}; 03 is accepted")
    if match["channel"] == "02":
        raise NotAClip("song", f"{path}: channel 02 is song; 01, speech, is accepted")
    if match["modality"] != "03" or match["channel"] != "01" or match["intensity"] not in _INTENSITIES:
        raise NotAClip(
            "unknown_name",
            f"{path}: modality {match['modality']}, channel {match['channel']}, intensity {match['intensity']}; "
            f"accepted: modality 03, channel 01, intensity 01 or 02, as in {_EXAMPLE}",
        )
    return Clip(
        stem=path.stem,
        speaker=match["actor"],
        sex="female" if int(match["actor"]) % 2 == 0 else "male",
        emotion=emotion_from("ravdess", match["emotion"], path),
        native_label=match["emotion"],
        language="en",
        intensity=_INTENSITIES[match["intensity"]],
        text_id=match["statement"],
    )


CORPUS = Corpus(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS), speech",
    languages=("en",),
    emotions=in_order(NATIVE_LABELS["ravdess"].values()),
    licence="CC BY-NC-SA 4.0",
    citation=(
        "Livingstone and Russo (2018), The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS), "
        "PLoS ONE 13(5): e0196391, doi:10.1371/journal.pone.0196391"
    ),
    source="Zenodo record 1188976",
    clips=1440,
    speakers=24,
    instructions="Unpack Audio_Speech_Actors_01-24.zip and add the folder that holds Actor_01 ... Actor_24.",
    parse=_parse,
)
