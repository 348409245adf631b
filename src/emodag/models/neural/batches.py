"""Clips in batches: bucketed by length, padded and masked, mixed and masked at random while they train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from emodag.params import SpecAugment

#: Clips are sorted by length among so many batches' worth: enough that little is padded, few enough that batches differ
#: from epoch to epoch.
_BATCHES_SORTED_TOGETHER = 8


@dataclass(frozen=True)
class Batch:
    """Some clips as a network sees them."""

    values: np.ndarray  #: float32 [clips, features], or [clips, frames, columns] padded with zeros
    mask: np.ndarray | None  #: bool [clips, frames], which frames are real; ``None`` without frames

    @property
    def inputs(self) -> list[np.ndarray]:
        """What the Keras model is given."""
        return [self.values] if self.mask is None else [self.values, self.mask]


def padded(clips: list[np.ndarray], minimum: int) -> Batch:
    """Clips [frames, columns] as one array, zeros behind their ends.

    A clip of fewer than ``minimum`` frames is lengthened to so many by frames of zeros, which count as real.
    """
    counts = np.maximum([len(clip) for clip in clips], minimum)
    values = np.zeros((len(clips), counts.max(), clips[0].shape[1]), np.float32)
    for row, clip in zip(values, clips, strict=True):
        row[: len(clip)] = clip
    return Batch(values, np.arange(values.shape[1]) < counts[:, None])


def shuffled(lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Positions of all clips in random batches of nearly equal size, at most ``size``, of clips of like length."""
    order = rng.permutation(len(lengths))
    batches = []
    for pool in _split(order, size * _BATCHES_SORTED_TOGETHER):
        batches += _split(pool[np.argsort(lengths[pool], kind="stable")], size)
    return [batches[position] for position in rng.permutation(len(batches))]


def by_length(lengths: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Positions of all clips in batches of at most ``size``, the shortest first."""
    yield from _split(np.argsort(lengths, kind="stable"), size)


def _split(positions: np.ndarray, size: int) -> list[np.ndarray]:
    return np.array_split(positions, -(-len(positions) // size)) if len(positions) else []


def mixup(batch: Batch, targets: np.ndarray, alpha: float, rng: np.random.Generator) -> tuple[Batch, np.ndarray]:
    """Each clip mixed with another of the batch (Zhang et al. 2018, arXiv 1710.09412).

    The shorter of the two is silent at its end, at the zeros that mean average frames; the mixture is as long as the
    longer.

    Args:
        batch: to mix.
        targets: float32 [clips, classes], the share that each class has in a clip, times the clip's weight.
        alpha: of the Beta distribution that each clip's own share in its mixture is drawn from.
        rng: draws.

    Returns:
        The mixtures and their targets.
    """
    others = rng.permutation(len(targets))
    share = rng.beta(alpha, alpha, len(targets)).astype(np.float32)

    def mixed(values: np.ndarray) -> np.ndarray:
        own = share.reshape(-1, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[others]

    mask = None if batch.mask is None else batch.mask | batch.mask[others]
    return replace(batch, values=mixed(batch.values), mask=mask), mixed(targets)


def spec_augment(batch: Batch, settings: SpecAugment, groups: tuple[int, ...], rng: np.random.Generator) -> Batch:
    """Stretches of each clip, and bands of each group of its columns, set to the mean (Park et al. 2019,
    arXiv 1904.08779).

    Args:
        batch: of frames.
        settings: how many masks, and how wide.
        groups: how many columns each group has; together all columns, in their order.
        rng: draws.
    """
    values = batch.values.copy()
    columns = np.cumsum((0, *groups))
    for clip, count in zip(values, batch.mask.sum(axis=1), strict=True):
        for _ in range(settings.time_masks):
            start, end = _stretch(count, settings.time_share, rng)
            clip[start:end] = 0
        for first, width in zip(columns, groups, strict=False):
            for _ in range(settings.column_masks):
                start, end = _stretch(width, settings.column_share, rng)
                clip[:, first + start : first + end] = 0
    return replace(batch, values=values)


def _stretch(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Start and end of a random part of at most a share of ``length``."""
    width = rng.integers(0, int(share * length) + 1)
    start = rng.integers(0, length - width + 1)
    return start, start + width
