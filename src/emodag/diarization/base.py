"""The interface that the backends share, how one is chosen, and what all of them refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from emodag.errors import AudioError
from emodag.params import Diarize

if TYPE_CHECKING:
    from pyannote.core import Annotation


class Diarizer(Protocol):
    """Finds who speaks when in a recording."""

    def diarize(self, samples: np.ndarray, *, speakers: int | None = None, uri: str | None = None) -> Annotation:
        """Speaker turns (s) within the recording, labelled ``SPEAKER_00``, ``SPEAKER_01``, ...; none without speech.

        Args:
            samples: float32 ``[samples]`` at 16 kHz, at most 1 in magnitude.
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


def speaker_name(number: int) -> str:
    """The label of a speaker, as pyannote.audio writes it."""
    return f"SPEAKER_{number:02d}"


def check_samples(samples: np.ndarray) -> None:
    """Refuse what no backend can make sense of.

    Raises:
        AudioError: ``wrong_format`` (not one channel of floating-point samples) or ``not_finite``.
    """
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            "wrong_format", f"expected floating-point samples [samples], got {samples.dtype} {list(samples.shape)}"
        )
    if not np.isfinite(samples).all():
        raise AudioError("not_finite", "some samples are NaN or infinite")
