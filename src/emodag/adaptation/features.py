"""Normalisation of features, a vector for each clip; see :mod:`emodag.adaptation`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple, Self

import numpy as np

from emodag.adaptation.groups import Groups
from emodag.adaptation.rule import RESOLUTION, usable_std, weighed
from emodag.errors import DataError
from emodag.features.encoders.base import PREFIX
from emodag.features.functionals import SPANS
from emodag.params import Adaptation

# Statistics of a frame feature: those that move with its mean, and those that only scale with its standard deviation.
_STATISTIC = re.compile(
    r"(?P<feature>.+?)_(?:(?P<location>mean|voiced_mean|p\d{2,3})|"
    rf"(?P<spread>std|range|slope|voiced_std|{'|'.join(SPANS)}))"
)


class OwnFrames(NamedTuple):
    """Where the functionals of frame features lie among all features, as positions."""

    columns: np.ndarray  #: [functionals], of those that standardised frames would change
    mean: np.ndarray  #: [functionals], the column of the mean of the same frame feature
    std: np.ndarray  #: [functionals], and of its standard deviation
    location: np.ndarray  #: bool [functionals]; the others are spreads
    over_voice: np.ndarray  #: bool [functionals]

    @classmethod
    def among(cls, names: Sequence[str]) -> Self:
        """The functionals among the names of features, by the rules of :func:`emodag.features.functionals.names`.

        Raises:
            DataError: they hold no means, or no standard deviations, of frame features.
        """
        column = {name: number for number, name in enumerate(names)}
        features = _frame_features(names)
        found = []
        for name in names:
            if (match := _STATISTIC.fullmatch(name)) and (feature := match["feature"]) in features:
                own = column[f"{feature}_mean"], column[f"{feature}_std"]
                over_voice = name in (f"{feature}_voiced_mean", f"{feature}_voiced_std")
                found.append((column[name], *own, match["location"] is not None, over_voice))
        columns, mean, std, location, over_voice = np.array(found, np.int64).T
        return cls(columns, mean, std, location.astype(bool), over_voice.astype(bool))


def _frame_features(names: Sequence[str]) -> set[str]:
    """The frame features that functionals describe: their means come first, one after the other.

    A name like ``voiced_stretch_mean``, of a value of the clip, is none of them, nor is ``embedding_0000_mean``.
    """
    functionals = (name for name in names if not name.startswith(PREFIX))
    means = takewhile(lambda name: name.endswith("_mean"), functionals)
    features = {name.removesuffix("_mean") for name in means}
    if not features or not {f"{feature}_std" for feature in features} <= set(names):
        raise DataError(
            "adaptation.by recording standardises each clip's functionals by its own frames, and the features hold no "
            f"{'standard deviations' if features else 'means'} of these; set featurize.functionals.mean and "
            "featurize.functionals.std to true, and train.inputs to functionals or all"
        )
    return features


def by_own_frames(features: np.ndarray, functionals: OwnFrames) -> np.ndarray:
    """Functionals as they would be, had each frame feature been standardised over its clip before they were taken.

    With the mean ``m`` and the standard deviation ``s`` of a frame feature over the clip's frames (over the voiced ones
    where its functionals are): means and percentiles ``x`` become ``(x - m) / s``; standard deviations, ranges, slopes
    and the spread of differences ``x / s``; skewness stays. All of a feature that is constant in a clip become 0, as do
    statistics over voiced frames where nothing is voiced. Jitter, shimmer, rhythm, eGeMAPS and embeddings, which are no
    such statistics, stay as they are.

    Args:
        features: [clips, features].
        functionals: which of them are statistics of frames.

    Returns:
        float32 [clips, features].
    """
    adapted = np.array(features, np.float32)
    values, mean, std = (
        np.asarray(features[:, columns], np.float64)
        for columns in (functionals.columns, functionals.mean, functionals.std)
    )
    varies = (std > RESOLUTION * np.abs(mean)) & (std > np.finfo(np.float32).tiny)
    # Without voice, statistics over it are 0 by definition, standardised or not.
    silent = ~values[:, functionals.over_voice].any(axis=1)
    varies &= ~(silent[:, None] & functionals.over_voice)
    values -= np.where(functionals.location, mean, 0.0)
    adapted[:, functionals.columns] = np.divide(values, std, out=np.zeros_like(values), where=varies)
    return adapted


@dataclass(frozen=True)
class Normaliser:
    """The one way in which features are normalised, and the training statistics it rests on; made by :meth:`fit`."""

    settings: Adaptation
    mean: np.ndarray  #: float64 [features], of the training clips; empty unless ``speaker``
    std: np.ndarray  #: float64 [features]; 1 where a feature is constant
    names: tuple[str, ...]  #: of the features; only ``recording`` asks for them

    @classmethod
    def fit(cls, features: np.ndarray, groups: Groups, settings: Adaptation, names: Sequence[str] = ()) -> Self:
        """Learn the statistics of training clips, augmented copies left out.

        Args:
            features: [clips, features].
            groups: of these clips.
            settings: the section ``adaptation`` of the params.
            names: of the features, which ``recording`` needs, and nothing else does.

        Raises:
            DataError: there is no original clip; or ``recording`` finds no functionals among the names.
        """
        if settings.by == "recording":
            OwnFrames.among(names)
        if settings.by != "speaker":
            return cls(settings, np.empty(0), np.empty(0), tuple(names))
        groups.require_originals()
        own = np.asarray(features[groups.originals], np.float64)
        mean, std = own.mean(axis=0), own.std(axis=0)
        return cls(settings, mean, usable_std(mean, std), tuple(names))

    def __call__(self, features: np.ndarray, groups: Groups) -> np.ndarray:
        """Features as they are, or normalised by the clips' own frames or by their speakers' clips.

        Args:
            features: [clips, features], of all clips that are known of the groups: their statistics come from here.
            groups: of these clips; they only matter to ``speaker``.

        Returns:
            float32 [clips, features].
        """
        if self.settings.by == "none":
            return np.asarray(features, np.float32)
        if self.settings.by == "recording":
            return by_own_frames(features, self._own_frames)
        normalised = np.empty(features.shape, np.float32)
        for rows in groups.rows():
            values = np.asarray(features[rows], np.float64)
            mean, std = self._statistics(values[groups.originals[rows]])
            normalised[rows] = (values - mean) / std
        return normalised

    @cached_property
    def _own_frames(self) -> OwnFrames:
        return OwnFrames.among(self.names)

    def _statistics(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of a group with these original clips, [clips, features]."""
        if len(own) < 2:
            return self.mean, self.std
        moments = own.mean(axis=0), own.var(axis=0)
        return weighed(moments, (self.mean, self.std), clips=len(own), prior=self.settings.prior)

    @classmethod
    def of(cls, settings: Adaptation, mean: np.ndarray, std: np.ndarray, names: Sequence[str]) -> Self:
        """The normaliser with statistics that were kept.

        Raises:
            DataError: ``recording`` finds no functionals among the names.
        """
        if settings.by == "recording":
            OwnFrames.among(names)
        return cls(settings, mean, std, tuple(names))

    def describe(self) -> dict[str, Any]:
        """The statistics, as a bundle keeps them."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}
