"""Normalisation of features by whose unlabelled speech they come from: nobody's, the recording's or the speaker's.

A voice shifts and stretches most features more than an emotion does; a speaker's own mean and spread, which need no
label, take much of that away. Training statistics stand in where own clips are few. They meet as in maximum a
posteriori adaptation with a relevance factor (Reynolds, Quatieri and Dunn 2000, doi 10.1006/dspr.1999.0361): of ``n``
own clips,

- the mean weighs ``n / (n + prior)`` beside the training mean;
- the variance weighs ``(n - 1) / (n - 1 + prior)`` beside the training variance, because spread shows in differences
  only.

A single clip keeps the training statistics, whatever the prior: it cannot tell its voice from its emotion. (Moving the
mean by ``1 / (1 + prior)`` of the distance scored 51.8 % UAR instead of 55.3 % on RAVDESS in ``bench/encoder.py``.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from emodag.errors import DataError
from emodag.params import Adaptation

#: A training spread below this share of the mean is rounding of float32 rather than speech.
_RESOLUTION = 1e-4

#: No group's spread counts as less than this share of the training spread, so that what is constant in few clips of
#: one voice does not blow up.
_LEAST_SPREAD = 1e-2


class Groups(NamedTuple):
    """Who or what each clip belongs to."""

    keys: np.ndarray  #: [clips], equal for clips of one group
    originals: np.ndarray  #: bool [clips]; only these enter statistics, augmented copies do not

    def of(self, rows: np.ndarray) -> Groups:
        """The groups of some clips, as positions [rows]."""
        return Groups(self.keys[rows], self.originals[rows])


def groups_of(index: pd.DataFrame, settings: Adaptation) -> Groups:
    """The groups of the clips of an index (:data:`emodag.schema.INDEX`).

    A copy belongs to the group of its parent. In the corpora that are known here each clip is a recording of its own.
    """
    originals = index["parent_id"].isna()
    recordings = index["parent_id"].where(~originals, index["clip_id"])
    keys = index["speaker"] if settings.by == "speaker" else recordings
    return Groups(pd.factorize(keys)[0], originals.to_numpy())


def each_alone(clips: int) -> Groups:
    """Groups for clips of which nobody knows who speaks: each is a group of its own."""
    return Groups(np.arange(clips), np.full(clips, True))


@dataclass(frozen=True)
class Normaliser:
    """Training statistics, and the one way in which features are normalised by them; made by :meth:`fit`."""

    settings: Adaptation
    mean: np.ndarray  #: float64 [features], of the training clips; empty for ``none``
    std: np.ndarray  #: float64 [features]; 1 where a feature is constant

    @classmethod
    def fit(cls, features: np.ndarray, groups: Groups, settings: Adaptation) -> Self:
        """Learn the statistics of training clips, augmented copies left out.

        Args:
            features: [clips, features].
            groups: of these clips.
            settings: the section ``adaptation`` of the params.

        Raises:
            DataError: there is no original clip.
        """
        if settings.by == "none":
            return cls(settings, np.empty(0), np.empty(0))
        if not groups.originals.any():
            raise DataError(f"adaptation by {settings.by} needs training statistics, and there is no original clip")
        own = np.asarray(features[groups.originals], np.float64)
        mean, std = own.mean(axis=0), own.std(axis=0)
        return cls(settings, mean, np.where(std > _RESOLUTION * np.abs(mean), std, 1.0))

    def __call__(self, features: np.ndarray, groups: Groups) -> np.ndarray:
        """Features less their group's mean, divided by their group's standard deviation.

        Args:
            features: [clips, features], of all clips that are known of the groups: their statistics come from here.
            groups: of these clips.

        Returns:
            float32 [clips, features]; the features as they are for ``none``.
        """
        if self.settings.by == "none":
            return np.asarray(features, np.float32)
        normalised = np.empty(features.shape, np.float32)
        order = np.argsort(groups.keys, kind="stable")
        starts = np.flatnonzero(np.diff(groups.keys[order])) + 1
        for rows in np.split(order, starts):
            values = np.asarray(features[rows], np.float64)
            mean, std = self._statistics(values[groups.originals[rows]])
            normalised[rows] = (values - mean) / std
        return normalised

    def _statistics(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of a group with these original clips, [clips, features]."""
        clips, prior = len(own), self.settings.prior
        if clips < 2:
            return self.mean, self.std
        weight = clips / (clips + prior)
        mean = weight * own.mean(axis=0) + (1 - weight) * self.mean
        weight = (clips - 1) / (clips - 1 + prior)
        std = np.sqrt(weight * own.var(axis=0) + (1 - weight) * self.std**2)
        return mean, np.maximum(std, _LEAST_SPREAD * self.std)

    def describe(self) -> dict[str, Any]:
        """What a bundle keeps; :meth:`from_description` makes the same normaliser of it, bit by bit."""
        return self.settings.model_dump() | {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> Self:
        """The normaliser that :meth:`describe` described."""
        settings = Adaptation(by=description["by"], prior=float(description["prior"]))
        return cls(settings, np.array(description["mean"], np.float64), np.array(description["std"], np.float64))
