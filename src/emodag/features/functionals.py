"""Functionals: statistics over the frames of a clip, so that clips of any length become vectors of one length.

For each frame feature: the first three moments, the slope of a line fitted over time, and how much the feature moves at
three time scales (the standard deviation of its first difference and of its regression slope over 5 and 17 frames), the
family of functionals that openSMILE and the INTERSPEECH challenges established (Schuller et al. 2009, 2013).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    values = frames.astype(np.float64)
    mean = values.mean(axis=0)
    centred = values - mean
    std = centred.std(axis=0)
    constant = std <= _CONSTANT * np.maximum(1.0, np.abs(mean))
    skewness = np.where(constant, 0.0, (centred**3).mean(axis=0) / np.where(constant, 1.0, std) ** 3)
    statistics = [
        mean,
        std,
        skewness,
        _slopes(centred, len(centred)).mean(axis=0) * frame_rate,
        _slopes(values, 2).std(axis=0),
        _slopes(values, 5).std(axis=0),
        _slopes(values, 17).std(axis=0),
    ]
    return np.concatenate(statistics).astype(np.float32)


def _slopes(values: np.ndarray, width: int) -> np.ndarray:
    """Slopes per frame of lines fitted to every ``width`` frames in a row: [frames - width + 1, features]."""
    if width < 2 or len(values) < width:
        return np.zeros((1, values.shape[1]))
    weights = np.arange(width) - (width - 1) / 2
    weights /= (weights**2).sum()
    slopes = np.zeros((len(values) - width + 1, values.shape[1]))
    for position, weight in enumerate(weights):
        slopes += weight * values[position : position + len(slopes)]
    return slopes
