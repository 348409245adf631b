"""Normalisation of frames; see :mod:`emodag.adaptation`.

Frames of a clip depend on each other, so a voice's statistics weigh as much as its number of clips says, not of frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from emodag.adaptation.groups import Groups
from emodag.adaptation.rule import RESOLUTION, usable_std, weighed
from emodag.params import Adaptation
from emodag.speech import Sequences


class _Sums(NamedTuple):
    """Of the frames of each clip."""

    counts: np.ndarray  #: [clips]
    values: np.ndarray  #: float64 [clips, columns], about ``centre``
    squares: np.ndarray  #: float64 [clips, columns], about ``centre``
    centre: np.ndarray  #: float64 [columns]; keeps the squares of values far from 0 exact

    @classmethod
    def of(cls, sequences: Sequences) -> Self:
        columns = sequences.values.shape[1]
        centre = np.asarray(sequences[0], np.float64).mean(axis=0)
        values, squares = np.empty((2, len(sequences), columns))
        for clip in range(len(sequences)):
            frames = sequences[clip].astype(np.float64) - centre
            values[clip], squares[clip] = frames.sum(axis=0), (frames**2).sum(axis=0)
        return cls(sequences.counts.astype(np.float64), values, squares, centre)

    def moments(self, rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance, float64 [columns] each, over all frames of some clips."""
        frames = self.counts[rows].sum()
        mean = self.values[rows].sum(axis=0) / frames
        variance = np.maximum(self.squares[rows].sum(axis=0) / frames - mean**2, 0.0)
        return mean + self.centre, variance


@dataclass(frozen=True)
class FrameNormaliser:
    """The one way in which frames are normalised, and the training statistics it rests on; made by :meth:`fit`."""

    settings: Adaptation
    mean: np.ndarray  #: float64 [columns], of the training frames; empty unless ``speaker``
    std: np.ndarray  #: float64 [columns]; 1 where a column is constant

    @classmethod
    def fit(cls, sequences: Sequences, groups: Groups, settings: Adaptation) -> Self:
        """Learn the statistics of the frames of training clips, augmented copies left out.

        Args:
            sequences: the training clips.
            groups: of these clips.
            settings: the section ``adaptation`` of the params.

        Raises:
            DataError: there is no original clip.
        """
        if settings.by != "speaker":
            return cls(settings, np.empty(0), np.empty(0))
        groups.require_originals()
        mean, variance = _Sums.of(sequences.of(groups.originals)).moments(slice(None))
        return cls(settings, mean, usable_std(mean, np.sqrt(variance)))

    def __call__(self, sequences: Sequences, groups: Groups) -> Sequences:
        """Frames as they are, or normalised by the clip's own or by all of its speaker's.

        Args:
            sequences: all clips that are known of the groups: their statistics come from here.
            groups: of these clips; they only matter to ``speaker``.
        """
        if self.settings.by == "none" or len(sequences) == 0:
            return sequences
        sums = _Sums.of(sequences)
        if self.settings.by == "recording":
            statistics = [sums.moments(slice(clip, clip + 1)) for clip in range(len(sequences))]
            mean, variance = (np.stack(each) for each in zip(*statistics, strict=True))
            std = np.sqrt(variance)
            # What a clip does not vary becomes 0.
            std = np.where(std > RESOLUTION * np.abs(mean), std, np.inf)
            return sequences.standardised(mean, std, np.arange(len(sequences)))
        by_group = groups.rows()
        mean, std = np.empty((2, len(by_group), len(self.mean)))
        group_of = np.empty(len(sequences), np.int64)
        for group, rows in enumerate(by_group):
            mean[group], std[group] = self._statistics(sums, rows[groups.originals[rows]])
            group_of[rows] = group
        return sequences.standardised(mean, std, group_of)

    def _statistics(self, sums: _Sums, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of a group with these original clips, as positions."""
        if len(own) < 2:
            return self.mean, self.std
        return weighed(sums.moments(own), (self.mean, self.std), clips=len(own), prior=self.settings.prior)

    def describe(self) -> dict[str, Any]:
        """The statistics, as a bundle keeps them."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}
