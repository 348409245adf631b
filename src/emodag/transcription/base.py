"""The interface that the backends share, how one is chosen, and how speech of any length is decoded.

A decoder cannot be stopped in the middle of what it was given, and some need memory that grows with it. So speech is
handed over in pieces of a few seconds, cut where it is softest, and whoever asks is asked before each whether to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.conversation.transcripts import Line
from emodag.diarization.base import check_samples
from emodag.params import Transcribe

#: Asked before each piece: whether to decode it.
KeepGoing = Callable[[], bool]

_SHORTEST = 0.1  # s; no word is shorter, and decoders want some frames
_SOFT = 0.1  # s, over which loudness is measured where a cut is sought


class Transcript(NamedTuple):
    """What is said in a stretch of sound."""

    text: str
    words: tuple[Line, ...] = ()  #: with times (s) from its first sample; empty where the backend has no times
    complete: bool = True  #: whether all of it was decoded


class Transcriber(Protocol):
    """Writes down what is said."""

    def transcribe(self, samples: np.ndarray) -> Transcript:
        """What is said in one piece, decoded as a whole; empty where nothing is understood.

        Args:
            samples: float32 [samples] at 16 kHz, at most 1 in magnitude.
        """


def create(settings: Transcribe) -> Transcriber | None:
    """The transcriber that the section ``transcribe`` of the params describes; None for ``none``.

    Raises:
        TranscriptionError: its package is not installed, it has no such language, or its model cannot be had.
    """
    if settings.backend == "sphinx":
        from emodag.transcription.sphinx import SphinxTranscriber

        return SphinxTranscriber(settings.language, settings.sphinx.models)
    if settings.backend == "whisper":
        from emodag.transcription.whisper import WhisperTranscriber

        return WhisperTranscriber(settings.language, settings.whisper)
    return None


def always() -> bool:
    """Keep going to the end."""
    return True


def transcript(
    transcriber: Transcriber, samples: np.ndarray, longest: float, keep_going: KeepGoing = always
) -> Transcript:
    """What is said in speech of any length.

    Args:
        transcriber: by :func:`create`.
        samples: float32 [samples] at 16 kHz.
        longest: of a piece; s.
        keep_going: asked before each piece; where it says no, the transcript ends there and is not ``complete``.

    Raises:
        AudioError: the samples are not one channel of finite numbers.
    """
    check_samples(samples)
    texts: list[str] = []
    words: list[Line] = []
    for first, last in pieces(samples, longest):
        if not keep_going():
            return Transcript(" ".join(texts), tuple(words), complete=False)
        heard = transcriber.transcribe(samples[first:last])
        if heard.text:
            texts.append(heard.text)
            words += [later(word, first / SAMPLE_RATE) for word in heard.words]
    return Transcript(" ".join(texts), tuple(words))


def later(line: Line, seconds: float) -> Line:
    """The same words, so much later."""
    return Line(line.start + seconds, line.end + seconds, line.text)


def pieces(samples: np.ndarray, longest: float) -> Iterator[tuple[int, int]]:
    """Where to cut speech, as (first sample, sample after the last).

    Pieces follow each other without a gap, none is longer than ``longest`` seconds, and each but the last ends at the
    softest tenth of a second of its second half. A rest too short to hold a word is left out.
    """
    most, first = int(longest * SAMPLE_RATE), 0
    while len(samples) - first > most:
        half = first + most // 2
        last = half + _softest(samples[half : first + most])
        yield first, last
        first = last
    if len(samples) - first >= _SHORTEST * SAMPLE_RATE:
        yield first, len(samples)


def _softest(samples: np.ndarray) -> int:
    """The middle of the softest tenth of a second."""
    width = int(_SOFT * SAMPLE_RATE)
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    return int(np.argmin(energy[width:] - energy[:-width])) + width // 2
