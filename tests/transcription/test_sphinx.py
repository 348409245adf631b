"""Sphinx: words with times, no words where nobody speaks, and its languages."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pocketsphinx
import pytest

from emodag import audio
from emodag.errors import TranscriptionError
from emodag.transcription.base import transcript
from emodag.transcription.sphinx import SphinxTranscriber, languages

RATE = 16_000


def test_words_come_in_order_within_the_sound(sphinx, counting):
    heard = sphinx.transcribe(counting)
    assert heard.text == "one two three four five"
    assert [word.text for word in heard.words] == heard.text.split()
    times = [time for word in heard.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] > 0.1
    assert times[-1] < len(counting) / RATE
    loud = np.flatnonzero(np.abs(counting) > 0.02) / RATE
    assert times[0] == pytest.approx(loud[0], abs=0.15)
    assert times[-1] == pytest.approx(loud[-1], abs=0.25)


def test_a_transcript_depends_on_nothing_that_was_heard_before(sphinx, counting):
    before = sphinx.transcribe(counting)
    noise = np.random.default_rng(0).normal(size=len(counting))
    sphinx.transcribe((counting + 0.03 * noise).astype(np.float32))
    assert sphinx.transcribe(counting) == before


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0),
        np.zeros(100),
        np.zeros(RATE // 2),
        np.zeros(3 * RATE),
        np.ones(RATE),
        0.1 * np.random.default_rng(0).normal(size=RATE),
    ],
    ids=["empty", "100 samples", "half a second", "silence", "constant", "noise"],
)
def test_where_nobody_speaks_nothing_is_said(sphinx, samples):
    assert sphinx.transcribe(samples.astype(np.float32)) == ("", (), True)


@pytest.mark.parametrize("language", ["en-US", "en-us", "en"])
def test_english_is_american(language):
    assert SphinxTranscriber(language).language == "en-US"


@pytest.mark.parametrize("language", ["de", "en-GB", "auto"])
def test_a_language_without_a_model_is_refused_with_those_there_are(language):
    with pytest.raises(
        TranscriptionError, match=f"no model of '{language}'; accepted: en-US.*transcribe.sphinx.models"
    ):
        SphinxTranscriber(language)


@pytest.fixture
def further(tmp_path):
    """A folder with a further language as the SpeechRecognition package lays them out: English once more."""
    model, folder = Path(pocketsphinx.get_model_path("en-us")), tmp_path / "en-XX"
    folder.mkdir()
    for name, file in {
        "acoustic-model": "en-us",
        "language-model.lm.bin": "en-us.lm.bin",
        "pronounciation-dictionary.dict": "cmudict-en-us.dict",
    }.items():
        (folder / name).symlink_to(model / file)
    return tmp_path


def test_further_languages_come_from_a_folder(further, sphinx, counting):
    assert list(languages(str(further))) == ["en-US", "en-XX"]
    assert SphinxTranscriber("en-xx", str(further)).transcribe(counting) == sphinx.transcribe(counting)
    with pytest.raises(TranscriptionError, match="accepted: en-US, en-XX"):
        SphinxTranscriber("en", str(further))  # which of the two?


def test_a_language_that_lacks_a_file_is_refused(further):
    (further / "en-XX" / "language-model.lm.bin").unlink()
    with pytest.raises(TranscriptionError, match=r"language-model\.lm\.bin is missing"):
        SphinxTranscriber("en-XX", str(further))


def test_a_language_with_a_broken_file_is_refused(further):
    broken = further / "en-XX" / "language-model.lm.bin"
    broken.unlink()
    broken.write_bytes(b"no language model")
    with pytest.raises(TranscriptionError, match=r"transcribe\.sphinx\.models: en-XX: "):
        SphinxTranscriber("en-XX", str(further))


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(TranscriptionError, match="nowhere is no folder"):
        SphinxTranscriber("en-US", str(tmp_path / "nowhere"))


def test_without_the_package_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(TranscriptionError, match="pip install pocketsphinx"):
        SphinxTranscriber("en-US")


@pytest.mark.corpora
def test_it_understands_some_of_what_actors_say(shared, sphinx):
    clips = sorted((shared / "corpora" / "ravdess" / "Actor_10").glob("03-01-01-01-*"))
    assert len(clips) == 4
    heard = []
    for path in clips:
        recording = audio.read(path)
        heard.append(transcript(sphinx, audio.resample(recording.samples, recording.rate), 15.0).text)
    understood = sum("by the door" in text for text in heard)
    assert understood >= 2, heard
