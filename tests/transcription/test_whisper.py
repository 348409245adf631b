"""Whisper's real code path on a tiny random model: what comes out is nonsense, in the form that is promised."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from emodag.errors import TranscriptionError
from emodag.params import Whisper
from emodag.transcription.whisper import WhisperTranscriber


def settings(model, **changes) -> Whisper:
    return Whisper(**{"model": str(model), "device": "cpu", "precision": "float32", "beam": 2, "threads": 1} | changes)


def test_words_have_times_within_the_sound_and_come_again_alike(tiny_whisper, counting):
    transcriber = WhisperTranscriber("en-US", settings(tiny_whisper))
    assert transcriber.language == "en"
    heard = transcriber.transcribe(counting)
    assert heard.complete
    assert heard.words
    assert heard.text == " ".join(word.text for word in heard.words)
    assert all(0 <= word.start <= word.end <= len(counting) / 16_000 + 0.1 for word in heard.words)
    assert transcriber.transcribe(counting) == heard


def test_where_nobody_speaks_nothing_is_said(tiny_whisper):
    transcriber = WhisperTranscriber("auto", settings(tiny_whisper))
    assert transcriber.transcribe(np.zeros(32_000, np.float32)) == ("", (), True)


def test_a_language_that_the_model_does_not_know_is_refused(tiny_whisper):
    with pytest.raises(TranscriptionError, match="does not know 'de'; accepted: auto, en"):
        WhisperTranscriber("de", settings(tiny_whisper))


def test_a_folder_without_a_model_is_refused(tiny_whisper, tmp_path):
    with pytest.raises(TranscriptionError, match=r"transcribe\.whisper\.model: .* holds no model\.bin"):
        WhisperTranscriber("en", settings(tmp_path))


def test_a_broken_model_is_refused(tiny_whisper, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(TranscriptionError, match=r"transcribe\.whisper\.model: "):
        WhisperTranscriber("en", settings(tmp_path))


def test_a_name_that_cannot_be_fetched_is_refused(tiny_whisper, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TranscriptionError, match=r"transcribe\.whisper\.model: nobody/no-such-model: "):
        WhisperTranscriber("en", settings("nobody/no-such-model"))


def test_without_the_package_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(TranscriptionError, match="pip install faster-whisper"):
        WhisperTranscriber("en", settings("small"))
