"""The names of the demo corpora's files."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from emodag.corpora.base import Clip, NotAClip
from emodag.corpora.demo import CORPORA


@pytest.mark.parametrize(("corpus", "language"), [("demo_en", "en"), ("demo_de", "de")])
@pytest.mark.parametrize(("speaker", "sex"), [("f01", "female"), ("m06", "male")])
@pytest.mark.parametrize("emotion", ["neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised"])
def test_a_name_says_everything(corpus, language, speaker, sex, emotion):
    clip = CORPORA[corpus].parse(PurePosixPath(f"{speaker}/{speaker}_{emotion}_t03_02.wav"))
    assert clip == Clip(
        stem=f"{speaker}_{emotion}_t03_02",
        speaker=speaker,
        sex=sex,
        emotion=emotion,
        native_label=emotion,
        language=language,
        text_id="t03",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("f01/f01_angry_t03_02.mp3", "unknown_name"),
        ("f01/f01_angry_t03.wav", "unknown_name"),
        ("x01/x01_angry_t03_02.wav", "unknown_name"),
        ("f01/f01_angry_t03_02_1.wav", "unknown_name"),
        ("f01/f01_bored_t03_02.wav", "unknown_emotion"),
    ],
)
def test_other_names_are_refused_with_what_was_expected(name, reason):
    with pytest.raises(NotAClip, match=r"f01_angry_t03_02\.wav|neutral, happy") as refused:
        CORPORA["demo_en"].parse(PurePosixPath(name))
    assert refused.value.reason == reason
