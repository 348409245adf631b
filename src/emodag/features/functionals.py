"""Functionals: statistics over the frames of a clip, so that clips of any length become vectors of one length.

For each frame feature: the first three moments, the slope of a line fitted over time, and how much the feature moves at
three time scales (the standard deviation of its first difference and of its regression slope over 5 and 17 frames), the
family of functionals that openSMILE and the INTERSPEECH challenges established (Schuller et al. 2009, 2013).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import correlate1d

#: What is computed of each frame feature, in this order.
STATISTICS = ("mean", "std", "skewness", "slope", "std_difference", "std_delta_05", "std_delta_17")

# Below this spread (relative to the size of the values) a feature counts as constant, since the rest is rounding.
_CONSTANT = 1e-6


def names(frame_names: Sequence[str]) -> tuple[str, ...]:
    """The functionals of frame features: ``<feature>_<statistic>``, all features of a statistic together."""
    return tuple(f"{name}_{statistic}" for statistic in STATISTICS for name in frame_names)


def functionals(frames: np.ndarray, frame_rate: float) -> np.ndarray:
    """Statistics over time of every frame feature; finite for finite frames.

    Args:
        frames: [frames, features], at least one frame.
        frame_rate: frames per second.

    Returns:
        float32 [features * statistics], in the order of :func:`names`. Slopes are per second. What a clip is too short
        for (a slope of one frame, a delta over fewer frames than it spans) is 0: no movement is seen.
    """
    # A row per feature: everything below runs along contiguous memory.
    values = np.ascontiguousarray(frames.T, dtype=np.float64)
    mean = values.mean(axis=1)
    values -= mean[:, np.newaxis]
    squares = values * values
    std = np.sqrt(squares.mean(axis=1))
    constant = std <= _CONSTANT * np.maximum(1.0, np.abs(mean))
    third_moment = np.einsum("ij,ij->i", squares, values) / values.shape[1]
    statistics = [
        mean,
        std,
        np.where(constant, 0.0, third_moment / np.where(constant, 1.0, std) ** 3),
        _slopes(values, values.shape[1])[:, 0] * frame_rate,
        _slopes(values, 2).std(axis=1),
        _slopes(values, 5).std(axis=1),
        _slopes(values, 17).std(axis=1),
    ]
    return np.concatenate(statistics).astype(np.float32)


def _slopes(values: np.ndarray, width: int) -> np.ndarray:
    """Slopes per frame of lines fitted to every ``width`` frames in a row: [features, frames - width + 1]."""
    count = values.shape[1]
    if width < 2 or count < width:
        return np.zeros((len(values), 1))
    weights = np.arange(width) - (width - 1) / 2
    weights /= (weights**2).sum()
    if width == count:
        return values @ weights[:, np.newaxis]
    return correlate1d(values, weights, axis=1)[:, width // 2 : count - (width - 1) // 2]
