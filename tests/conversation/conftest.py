"""Conversations put together from clips of the synthesised corpus, so that turns and emotions are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyannote.core import Annotation, Segment

from emodag import audio, bundle, params
from emodag.conversation.voices import Voices
from emodag.listening import Sound
from emodag.recognition import Recogniser, read


@pytest.fixture(scope="session")
def settings(spoken_corpus) -> params.Analyze:
    """As in params.yaml, but each window for itself: what smoothing does is tested by itself."""
    return spoken_corpus.params.analyze.model_copy(update={"smoothing": 0.0})


@pytest.fixture(scope="session")
def adapting(spoken_corpus) -> Recogniser:
    """A model that adapts to speakers."""
    folder = spoken_corpus.ship("logistic", train__inputs="functionals", adaptation__by="speaker")
    return Recogniser(replace(bundle.load(folder), unknown=0.0))


@pytest.fixture(scope="session")
def plain(spoken_corpus) -> Recogniser:
    """A model that adapts to nobody."""
    return Recogniser(replace(bundle.load(spoken_corpus.ship("logistic", train__inputs="functionals")), unknown=0.0))


@pytest.fixture(scope="session")
def clips(spoken_corpus) -> dict[str, list[np.ndarray]]:
    """Speaker -> that speaker's clips, float32 [samples] each."""
    index = spoken_corpus.data(spoken_corpus.params.changed({"model": "logistic"})).index
    found: dict[str, list[np.ndarray]] = {}
    for speaker, path in zip(index["speaker"], spoken_corpus.clips, strict=True):
        found.setdefault(speaker, []).append(read(path))
    return found


@pytest.fixture(scope="session")
def conversation(clips):
    """``conversation(turns, pause)``: voices of clips that follow each other, given as (speaker, clip) numbers."""

    def make(turns, pause: float = 0.3, rate: int = audio.SAMPLE_RATE) -> Voices:
        speakers = sorted(clips)
        gap = np.zeros(round(pause * audio.SAMPLE_RATE), np.float32)
        annotation, parts, time = Annotation(uri="call"), [], 0.0
        for speaker, clip in turns:
            samples = clips[speakers[speaker]][clip]
            end = time + len(samples) / audio.SAMPLE_RATE
            annotation[Segment(time, end)] = speakers[speaker]
            parts += [samples, gap]
            time = end + len(gap) / audio.SAMPLE_RATE
        pcm = audio.to_pcm16(np.concatenate(parts))[:, None]
        return Voices(annotation, Sound("call.wav", pcm, rate))

    return make
