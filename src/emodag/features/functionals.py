"""Functionals: statistics over the frames of a clip, so that clips of any length become vectors of one length.

For each frame feature: moments, percentiles, range, the slope of a line fitted over time, and how much the feature
moves at three time scales (the standard deviation of its first difference and of its regression slope over 5 and 17
frames), the family of functionals that openSMILE and the INTERSPEECH challenges established (Schuller et al. 2009,
2013). Pitch, harmonicity and formants mean something in voiced frames only, so their statistics run over these alone,
one after the other; other features have their mean and standard deviation over them as ``voiced_mean``, ``voiced_std``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.params import Featurize, Statistics

#: Groups of frames that are defined where there is voice.
VOICED_GROUPS = frozenset({"f0", "hnr", "formants"})

#: Frames in the regressions whose slopes' spread is taken; two make the first difference.
SPANS = {"std_difference": 2, "std_delta_05": 5, "std_delta_17": 17}

# Below this spread (relative to the size of the values) a feature counts as constant, since the rest is rounding.
_CONSTANT = 1e-6

# Values at a time, so that double precision does not multiply the memory of a long clip.
_BLOCK = 2**18


def needs_f0(settings: Featurize) -> bool:
    """Whether anything in the settings asks where there is voice, or at what pitch."""
    wanted = settings.functionals
    return (
        any(getattr(settings.frames, group) for group in VOICED_GROUPS)
        or wanted.voiced
        or wanted.voice_quality
        or wanted.rhythm
    )


def names(groups: Mapping[str, Sequence[str]], settings: Featurize) -> tuple[str, ...]:
    """The functionals of frame features, ``<feature>_<statistic>``: all features of a statistic together.

    Args:
        groups: the names of the frame features by group, in the order of their columns.
        settings: which statistics.
    """
    everywhere = [name for columns in groups.values() for name in columns]
    outside = [name for group, columns in groups.items() if group not in VOICED_GROUPS for name in columns]
    return tuple(
        f"{name}_{statistic}"
        for over, statistics in ((everywhere, _statistics(settings.functionals)), (outside, _voiced(settings)))
        for statistic in statistics
        for name in over
    )


def functionals(
    frames: np.ndarray,
    groups: Mapping[str, Sequence[str]],
    settings: Featurize,
    voiced: np.ndarray | None,
) -> np.ndarray:
    """Statistics over time of every frame feature; finite for finite frames.

    Args:
        frames: float32 [frames, features], at least one frame.
        groups: the names of the frame features by group, in the order of their columns.
        settings: which statistics, and the hop.
        voiced: bool [frames], where there is voice; None only if :func:`needs_f0` says that nobody asks.

    Returns:
        float32 [functionals], in the order of :func:`names`. Slopes are per second; over voiced frames, of voice. What
        a clip is too short for (a slope of one frame, a delta over fewer frames than it spans) is 0: no movement is
        seen. Where nothing is voiced, all statistics over voiced frames are 0.
    """
    of_voice = np.repeat([group in VOICED_GROUPS for group in groups], [len(columns) for columns in groups.values()])
    statistics = _statistics(settings.functionals)
    result = np.zeros((len(statistics), frames.shape[1]))
    for columns, rows in ((np.flatnonzero(~of_voice), None), (np.flatnonzero(of_voice), voiced)):
        for block, values in _by_feature(frames, columns, rows):
            result[:, block] = _describe(values, settings)
    outside = np.flatnonzero(~of_voice)
    over_voice = np.zeros((len(_voiced(settings)), len(outside)))
    if len(over_voice):
        for block, values in _by_feature(frames, outside, voiced):
            over_voice[:, np.searchsorted(outside, block)] = _Moments(values).mean_and_std
    return np.concatenate([result.ravel(), over_voice.ravel()]).astype(np.float32)


def _statistics(wanted: Statistics) -> list[str]:
    """What is computed of every feature, in order."""
    return [
        *(name for name in ("mean", "std", "skewness") if getattr(wanted, name)),
        *(f"p{percent:02d}" for percent in wanted.percentiles),
        *(name for name in ("range", "slope") if getattr(wanted, name)),
        *(SPANS if wanted.deltas else ()),
    ]


def _voiced(settings: Featurize) -> list[str]:
    return ["voiced_mean", "voiced_std"] if settings.functionals.voiced else []


def _by_feature(
    frames: np.ndarray, columns: np.ndarray, rows: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some columns and their values as float32 [features, frames], so that time runs along contiguous memory.

    ``rows`` bool [frames] says which frames; None for all. Nothing comes where there is no frame.
    """
    count = len(frames) if rows is None else int(np.count_nonzero(rows))
    width = max(1, _BLOCK // max(count, 1))
    for start in range(0, len(columns) if count else 0, width):
        block = columns[start : start + width]
        values = frames[:, block[0] : block[-1] + 1] if rows is None else frames[rows, block[0] : block[-1] + 1]
        yield block, np.ascontiguousarray(values.T[block - block[0]], dtype=np.float32)


class _Moments:
    """Mean, standard deviation, third moment and slope per frame of each row of [features, frames]."""

    def __init__(self, values: np.ndarray):
        from emodag.features import kernels

        self.deviation = np.empty(values.shape)
        self.mean, variance, self.third, self.slope = np.empty((4, len(values)))
        kernels.moments(values, self.deviation, self.mean, variance, self.third, self.slope)
        self.std = np.sqrt(variance)

    @property
    def mean_and_std(self) -> np.ndarray:
        return np.stack([self.mean, self.std])

    @property
    def skewness(self) -> np.ndarray:
        constant = self.std <= _CONSTANT * np.maximum(1.0, np.abs(self.mean))
        return np.where(constant, 0.0, self.third / np.where(constant, 1.0, self.std) ** 3)


def _describe(values: np.ndarray, settings: Featurize) -> np.ndarray:
    """All statistics of [features, frames]: [statistics, features]."""
    wanted, moments = settings.functionals, _Moments(values)
    rows = [getattr(moments, name) for name in ("mean", "std", "skewness") if getattr(wanted, name)]
    rows += _percentiles(values, wanted.percentiles)
    if wanted.range:
        rows.append(values.max(axis=1) - values.min(axis=1))
    if wanted.slope:
        rows.append(moments.slope * (SAMPLE_RATE / settings.hop_length))
    if wanted.deltas:
        rows += [_spread_of_slopes(moments.deviation, span) for span in SPANS.values()]
    return np.array(rows)


def _percentiles(values: np.ndarray, percents: Sequence[int]) -> list[np.ndarray]:
    """Linear interpolation between the two nearest ranks, as NumPy's default, but from one sort."""
    if not percents:
        return []
    ordered = np.sort(values, axis=1).astype(np.float64)
    rows = []
    for percent in percents:
        rank = (values.shape[1] - 1) * percent / 100
        low = int(rank)
        high = min(low + 1, values.shape[1] - 1)
        rows.append(ordered[:, low] + (ordered[:, high] - ordered[:, low]) * (rank - low))
    return rows


def _spread_of_slopes(deviation: np.ndarray, span: int) -> np.ndarray:
    """Standard deviation of the slopes per frame of lines fitted to every ``span`` frames in a row."""
    from emodag.features import kernels

    spread = np.zeros(len(deviation))
    places = deviation.shape[1] - span + 1
    if places > 0:
        weights = np.arange(span) - (span - 1) / 2
        weights /= (weights**2).sum()
        kernels.variance_of_correlation(deviation, weights, np.empty(places), spread)
    return np.sqrt(spread)
