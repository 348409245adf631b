"""The one way from samples to features, which training and prediction share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emodag.cleaning import clean
from emodag.features import egemaps, prosody, spectral
from emodag.features import functionals as statistics
from emodag.params import Featurize


class FeatureNames(NamedTuple):
    """Names of the columns: ``frames`` by group, ``functionals`` in order."""

    frames: dict[str, tuple[str, ...]]
    functionals: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The frame features in the order of their columns."""
        return tuple(name for group in self.frames.values() for name in group)


class ClipFeatures(NamedTuple):
    """Features of one clip: ``frames`` float32 [frames, features], ``functionals`` float32 [functionals]."""

    frames: np.ndarray
    functionals: np.ndarray


def names(settings: Featurize) -> FeatureNames:
    """What :func:`extract` computes under these settings.

    Raises:
        ParamsError: a package that the settings need is not installed.
    """
    groups = _groups(settings)
    of_clip = prosody.clip_names(settings) + (egemaps.names() if settings.egemaps else ())
    return FeatureNames(groups, statistics.names(groups, settings) + of_clip)


def _groups(settings: Featurize) -> dict[str, tuple[str, ...]]:
    return spectral.names(settings) | prosody.names(settings)


def extract(samples: np.ndarray, settings: Featurize, turns: prosody.Turns | None = None) -> ClipFeatures:
    """Features of a clip: it is cleaned if the settings say so, and its frames are summed up by functionals.

    Args:
        samples: float32 [samples] at 16 kHz, at least one.
        settings: the ``featurize`` section of the params.
        turns: start and end in seconds of speech within the samples; pauses lie between them.

    Raises:
        DataError: there are no samples, or some are NaN, infinite or far beyond full scale.
        ParamsError: a package that the settings need is not installed.
    """
    samples = clean(spectral.checked(samples), settings.clean)
    voice = prosody.analyse(samples, settings, 1 + len(samples) // settings.hop_length, turns)
    frames = spectral.frames(samples, settings, beside=voice.frames.shape[1])
    frames[:, frames.shape[1] - voice.frames.shape[1] :] = voice.frames
    summary = [statistics.functionals(frames, _groups(settings), settings, voice.voiced), voice.clip]
    if settings.egemaps:
        summary.append(egemaps.functionals(samples))
    return ClipFeatures(frames, np.concatenate(summary))
