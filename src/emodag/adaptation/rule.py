"""How much a voice's own clips weigh beside the training statistics; see :mod:`emodag.adaptation`."""

from __future__ import annotations

import numpy as np

#: A spread below this share of the mean is rounding of float32 rather than speech.
RESOLUTION = 1e-4

#: No group's spread counts as less than this share of the training spread, so that what is constant in few clips of
#: one voice does not blow up.
_LEAST_SPREAD = 1e-2


def usable_std(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Standard deviations [values] to divide by: 1 where a value is constant but for rounding."""
    return np.where(std > RESOLUTION * np.abs(mean), std, 1.0)


def weighed(
    own: tuple[np.ndarray, np.ndarray], training: tuple[np.ndarray, np.ndarray], *, clips: int, prior: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [values] of a voice, of its own clips and the training clips.

    Args:
        own: mean and variance of the voice's clips.
        training: mean and standard deviation of the training clips.
        clips: of the voice, two at least.
        prior: in clips, see :class:`emodag.params.Adaptation`.
    """
    weight = clips / (clips + prior)
    mean = weight * own[0] + (1 - weight) * training[0]
    weight = (clips - 1) / (clips - 1 + prior)
    std = np.sqrt(weight * own[1] + (1 - weight) * training[1] ** 2)
    return mean, np.maximum(std, _LEAST_SPREAD * training[1])
