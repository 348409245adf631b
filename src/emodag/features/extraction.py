"""The one way from samples to features, which training and prediction share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.features import functionals as statistics
from emodag.features import spectral
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
    """What :func:`extract` computes under these settings."""
    groups = spectral.names(settings)
    columns = tuple(name for group in groups.values() for name in group)
    return FeatureNames(groups, statistics.names(columns))


def extract(samples: np.ndarray, settings: Featurize) -> ClipFeatures:
    """Features of a clip; never NaN or infinite for finite samples.

    Args:
        samples: float32 [samples] at 16 kHz, at least one.
        settings: the ``featurize`` section of the params.
    """
    frames = spectral.frames(samples, settings)
    return ClipFeatures(frames, statistics.functionals(frames, SAMPLE_RATE / settings.hop_length))
