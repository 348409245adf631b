"""The interface that the backends share, how one is chosen, and the samples that all of them take."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.errors import AudioError
from emodag.params import Diarize

if TYPE_CHECKING:
    from pyannote.core import Annotation

_PIECE = 60 * SAMPLE_RATE


class Diarizer(Protocol):
    """Finds who speaks when in a recording."""

    def diarize(self, samples: np.ndarray, *, speakers: int | None = None, uri: str | None = None) -> Annotation:
        """Speaker turns (s) within the recording, labelled ``SPEAKER_00``, ``SPEAKER_01``, ...; none without speech.

        Args:
            samples: ``[samples]`` at 16 kHz: float32, at most 1 in magnitude, or int16, of which 32768 is 1. Hours are
                best handed over as int16, which takes half the memory.
            speakers: how many there are; None for what the diarizer was made with, which may be to find out. A
                recording too short to tell so many apart gives fewer.
            uri: the name that the annotation bears.

        Raises:
            AudioError: the samples are not one channel of finite numbers.
        """


def create(settings: Diarize) -> Diarizer:
    """The diarizer that the section ``diarize`` of the params describes.

    ``vad`` is of the bundled backend only; a pretrained pipeline brings its own.

    Raises:
        DiarizationError: the pretrained pipeline cannot be had.
    """
    speakers = {"one": 1, "auto": None}.get(settings.speakers, settings.speakers)
    if settings.backend == "bundled":
        from emodag.diarization.bundled import BundledDiarizer

        return BundledDiarizer(settings.vad, speakers)
    from emodag.diarization.pretrained import PretrainedDiarizer

    return PretrainedDiarizer(settings.pipeline, speakers)


@cache
def shared(settings: Diarize) -> Diarizer:
    """What :func:`create` makes, once for each process: its models are loaded when they are first asked."""
    return create(settings)


def for_conversations(settings: Diarize) -> Diarizer:
    """The process's own diarizer for recordings with any number of speakers, whatever ``settings.speakers``."""
    return shared(settings.model_copy(update={"speakers": "auto"}))


def speaker_name(number: int) -> str:
    """The label of a speaker, as pyannote.audio writes it."""
    return f"SPEAKER_{number:02d}"


def check_samples(samples: np.ndarray, *, pcm: bool = False) -> None:
    """Refuse what nobody can make sense of.

    Args:
        samples: of a recording.
        pcm: whether they may be int16, too.

    Raises:
        AudioError: ``wrong_format`` (not one channel of such samples) or ``not_finite``.
    """
    is_pcm = pcm and samples.dtype == np.int16
    if samples.ndim != 1 or not (is_pcm or np.issubdtype(samples.dtype, np.floating)):
        expected = "floating-point or int16" if pcm else "floating-point"
        raise AudioError(
            "wrong_format", f"expected {expected} samples [samples], got {samples.dtype} {list(samples.shape)}"
        )
    if not is_pcm and not all(np.isfinite(piece).all() for piece in pieces(samples)):
        raise AudioError("not_finite", "some samples are NaN or infinite")


def pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    """An array ``[samples, ...]`` a minute at a time, for what would need several times its memory at once."""
    for start in range(0, len(samples), _PIECE):
        yield samples[start : start + _PIECE]


def as_float(samples: np.ndarray) -> np.ndarray:
    """Floating-point or int16 samples, of any shape, as float32 of at most 1 in magnitude."""
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(32768)
    return samples.astype(np.float32, copy=False)
