"""Scores of emotion recognition, from truths and predictions alone.

Conventions: labels are integers, positions in the list of classes; a confusion matrix has the truth in rows and the
prediction in columns; recall-based scores go over the classes that occur in the truth, so that a class missing from a
test set neither helps nor harms. Nothing here returns NaN: what cannot be computed raises
:class:`~emodag.errors.DataError`.

The primary score is UAR, the unweighted average recall (Schuller et al., Interspeech 2009 Emotion Challenge).

Where models of several seeds predicted the same clips, a clip stands in as many rows, one after the other, and
``repeats`` says how many. UAR is linear in hits, so the score over all rows is the mean over the seeds; clips are
counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from emodag.errors import DataError


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class was taken for each: int64 [classes, classes], truth in rows.

    Args:
        truth: int [clips].
        predicted: int [clips].
        classes: how many there are.

    Raises:
        DataError: there is no clip, the lengths differ or a label is no class.
    """
    truth, predicted = _labels(truth, "truth", classes), _labels(predicted, "prediction", classes)
    if len(truth) != len(predicted):
        raise DataError(f"{len(truth)} truths and {len(predicted)} predictions cannot be compared")
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def recall(confusion: np.ndarray) -> np.ndarray:
    """Correct clips of a class / clips of the class: float [classes]; 0 for a class that does not occur."""
    return _ratio(np.diagonal(confusion), confusion.sum(axis=1))


def precision(confusion: np.ndarray) -> np.ndarray:
    """Correct clips of a class / clips taken for the class: float [classes]; 0 for a class never predicted."""
    return _ratio(np.diagonal(confusion), confusion.sum(axis=0))


def f1(confusion: np.ndarray) -> np.ndarray:
    """2 * precision * recall / (precision + recall): float [classes]; 0 where a class is never right."""
    return _ratio(2 * np.diagonal(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def unweighted_average_recall(confusion: np.ndarray) -> float:
    """UAR: the mean of the recalls of the classes that occur in the truth; equals balanced accuracy."""
    return float(recall(confusion)[_present(confusion)].mean())


def weighted_accuracy(confusion: np.ndarray) -> float:
    """WA: correct clips / all clips, so that frequent classes weigh more."""
    _present(confusion)
    return float(np.trace(confusion) / confusion.sum())


def macro_f1(confusion: np.ndarray) -> float:
    """The mean of the F1 scores of the classes that occur in the truth."""
    return float(f1(confusion)[_present(confusion)].mean())


class Resamples(NamedTuple):
    """Test sets that might have been, drawn from one that was: made by :func:`resample`.

    ``unit`` says what was drawn: speakers, or clips where there is one speaker only (what comes of it tells nothing
    about other speakers).
    """

    units: np.ndarray  #: int [rows], the unit that each row belongs to
    drawn: np.ndarray  #: float [resamples, units], how often each unit was drawn
    unit: Literal["speakers", "clips"]

    def recalls(
        self, truth: np.ndarray, predicted: np.ndarray, classes: int, where: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The recall of each class in each resample, float [resamples, classes], and whether the class occurs there.

        Args:
            truth: int [rows].
            predicted: int [rows].
            classes: how many there are.
            where: bool [rows], those that count; all without it.
        """
        rows = slice(None) if where is None else np.flatnonzero(where)
        units, truth, predicted = self.units[rows], truth[rows], predicted[rows]
        support, hits = np.zeros((2, self.drawn.shape[1], classes))
        np.add.at(support, (units, truth), 1)
        np.add.at(hits, (units, truth), truth == predicted)
        support, hits = self.drawn @ support, self.drawn @ hits
        return _ratio(hits, support), support > 0

    def uar(
        self, truth: np.ndarray, predicted: np.ndarray, classes: int, where: np.ndarray | None = None
    ) -> np.ndarray:
        """UAR in each resample, float [resamples]; NaN where it holds none of the rows. See :meth:`recalls`."""
        recalls, occurs = self.recalls(truth, predicted, classes, where)
        number = occurs.sum(axis=1)
        return np.where(number > 0, recalls.sum(axis=1) / np.maximum(number, 1), np.nan)


def resample(speakers: np.ndarray, *, resamples: int, seed: int, repeats: int = 1) -> Resamples:
    """Draw speakers with replacement, with all their clips (Efron and Tibshirani 1993).

    Clips of one speaker are alike, so drawing clips would make intervals too narrow.

    Args:
        speakers: an identifier per row, [rows].
        resamples: how many are drawn.
        seed: the same seed draws the same.
        repeats: rows of each clip, one after the other.
    """
    names, units = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    unit: Literal["speakers", "clips"] = "speakers"
    if len(names) == 1:
        unit, units = "clips", np.arange(len(speakers)) // repeats
    number = units.max() + 1
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples)
    return Resamples(units, drawn.astype(float), unit)


#: Intervals over fewer are told to be too narrow (docs/evaluation.md has simulations), and a test that swaps so few
#: speakers can find no p below 0.05.
FEWEST_SPEAKERS = 6


def told_interval(
    confidence: float, unit: Literal["speakers", "clips"], speakers: int, *, several: bool = False
) -> str:
    """What an interval is over, and whether those are too few to trust it: ``95% interval over speakers``."""
    plural = "s" if several else ""
    told = f"{100 * confidence:g}% interval{plural} over {unit}"
    if unit == "clips":
        return f"{told}: one speaker only"
    if speakers == 2:
        return f"no interval{plural}: the range{plural} over two speakers"
    return f"{told}, too narrow: {speakers} are few" if speakers < FEWEST_SPEAKERS else told


def percentiles(values: np.ndarray, confidence: float, *, units: int | None = None) -> tuple[float, float]:
    """The interval that holds the share ``confidence`` of resampled values, less those that are NaN.

    Of few units, such an interval is too narrow. Where ``units`` are given, it is expanded: its tails are those of a
    normal interval that is as wide as Student's t makes it for so many units, ``Phi(-sqrt(n / (n - 1)) * t)``
    (Hesterberg 2015, doi 10.1080/00031305.2015.1089789).

    Raises:
        DataError: no value is left, or there are fewer than two units.
    """
    values = values[~np.isnan(values)]
    if len(values) == 0 or (units is not None and units < 2):
        raise DataError("an interval needs two speakers at least, and resamples that hold some of them")
    tail = (1 - confidence) / 2
    if units is not None:
        from scipy.stats import norm, t

        tail = float(norm.cdf(np.sqrt(units / (units - 1)) * t.ppf(tail, units - 1)))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Intervals:
    """Percentile bootstrap intervals of UAR and of each class's recall.

    ``unit`` says what was drawn, as in :class:`Resamples`.
    """

    uar: tuple[float, float]
    #: float [classes, 2]; both 0 for a class that does not occur, 0 and 1 for one that a single speaker (or clip, as
    #: ``unit`` says) has: that says nothing of others.
    recall: np.ndarray
    unit: Literal["speakers", "clips"]


def bootstrap_intervals(
    truth: np.ndarray,
    predicted: np.ndarray,
    speakers: np.ndarray,
    classes: int,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    repeats: int = 1,
) -> Intervals:
    """Intervals from resampled speakers (:func:`resample`), by the percentile method.

    A class that no drawn speaker has is left out of that resample's mean.

    Args:
        truth: int [clips].
        predicted: int [clips].
        speakers: an identifier per clip, [clips].
        classes: how many there are.
        confidence: share of the resamples inside the interval.
        resamples: how many are drawn.
        seed: the same seed gives the same interval.
        repeats: rows of each clip, one after the other.

    Raises:
        DataError: as :func:`confusion_matrix`, or the speakers do not match the clips.
    """
    confusion_matrix(truth, predicted, classes)
    if len(speakers) != len(truth):
        raise DataError(f"{len(speakers)} speakers are given for {len(truth)} clips")
    drawn = resample(speakers, resamples=resamples, seed=seed, repeats=repeats)
    recalls, occurs = drawn.recalls(np.asarray(truth), np.asarray(predicted), classes)
    of_class = np.zeros((classes, 2))
    for number in np.flatnonzero(occurs.any(axis=0)):
        several = len(np.unique(drawn.units[np.asarray(truth) == number])) > 1
        of_class[number] = percentiles(recalls[occurs[:, number], number], confidence) if several else (0, 1)
    return Intervals(percentiles(recalls.sum(axis=1) / occurs.sum(axis=1), confidence), of_class, drawn.unit)


@dataclass(frozen=True)
class Scores:
    """All scores of one test set; arrays go over the classes."""

    classes: tuple[str, ...]
    confusion: np.ndarray
    intervals: Intervals
    clips: int
    speakers: int
    repeats: int = 1  #: rows of each clip, by models of as many seeds; ``confusion`` counts them all

    @property
    def counts(self) -> np.ndarray:
        """The confusion matrix in clips: float [classes, classes], means over the seeds."""
        return self.confusion / self.repeats

    @property
    def present(self) -> tuple[str, ...]:
        """The classes that occur in the truth."""
        return tuple(self.classes[number] for number in np.flatnonzero(_present(self.confusion)))

    @property
    def uar(self) -> float:
        """The primary score: :func:`unweighted_average_recall`."""
        return unweighted_average_recall(self.confusion)

    def summary(self) -> dict[str, float | int]:
        """The headline: ``uar``, ``uar_low``, ``uar_high``, ``wa``, ``f1``, ``clips``, ``speakers``."""
        low, high = self.intervals.uar
        return {
            "uar": self.uar,
            "uar_low": low,
            "uar_high": high,
            "wa": weighted_accuracy(self.confusion),
            "f1": macro_f1(self.confusion),
            "clips": self.clips,
            "speakers": self.speakers,
        }

    def per_class(self) -> dict[str, dict[str, float | int]]:
        """``precision``, ``recall`` with its interval, ``f1`` and ``support`` of each class in the truth."""
        columns = {
            "precision": precision(self.confusion),
            "recall": recall(self.confusion),
            "recall_low": self.intervals.recall[:, 0],
            "recall_high": self.intervals.recall[:, 1],
            "f1": f1(self.confusion),
        }
        support = self.confusion.sum(axis=1)
        return {
            emotion: {name: float(values[number]) for name, values in columns.items()}
            | {"support": int(support[number]) // self.repeats}
            for number, emotion in enumerate(self.classes)
            if support[number]
        }


def evaluate(
    truth: np.ndarray,
    predicted: np.ndarray,
    speakers: np.ndarray,
    classes: tuple[str, ...],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    repeats: int = 1,
) -> Scores:
    """Every score of one test set; see :func:`bootstrap_intervals` for the arguments.

    Raises:
        DataError: there is no clip, or the arrays do not fit each other.
    """
    return Scores(
        classes=tuple(classes),
        confusion=confusion_matrix(truth, predicted, len(classes)),
        intervals=bootstrap_intervals(
            truth,
            predicted,
            speakers,
            len(classes),
            confidence=confidence,
            resamples=resamples,
            seed=seed,
            repeats=repeats,
        ),
        clips=len(truth) // repeats,
        speakers=len(np.unique(np.asarray(speakers, dtype=str))),
        repeats=repeats,
    )


def _labels(labels: np.ndarray, name: str, classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.size == 0:
        raise DataError(f"no {name}: the test set is empty, so there is nothing to score")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"each {name} must be one integer from 0 to {classes - 1}; found {np.unique(labels)[:10]}")
    return labels.astype(np.int64)


def _present(confusion: np.ndarray) -> np.ndarray:
    present = confusion.sum(axis=1) > 0
    if not present.any():
        raise DataError("the confusion matrix counts no clip, so there is nothing to score")
    return present


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Numerator / denominator, 0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator), float), where=denominator > 0)
