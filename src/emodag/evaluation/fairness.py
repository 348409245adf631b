"""Whether a model serves all people alike: UAR by what is known of speakers and clips, and speaker by speaker.

Each value of an attribute (``female`` of ``sex``) is set against all other clips whose value is known, over the
emotions that both sides have. Speakers are resampled once for all of them, so that what is easy for both sides stays
easy for both. A difference *stands out* only where its interval leaves 0 out. That interval is widened twice: for few
speakers (:func:`~emodag.evaluation.scores.percentiles`), and for how many differences are looked at (Bonferroni), since
of twenty that are nothing, one would stand out by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from emodag.evaluation.scores import (
    Resamples,
    confusion_matrix,
    percentiles,
    resample,
    unweighted_average_recall,
)

#: Ages in years, from the first number up to, not with, the second.
AGES = {"under 30": (0, 30), "30 to 49": (30, 50), "50 and over": (50, 200)}

#: As corpora call them, from weak to strong.
_INTENSITIES = ("low", "medium", "normal", "high", "strong")

#: On either side of a difference, so that it has an interval: of fewer speakers, even resamples that hold but one of
#: them all over are too frequent for the tails that such an interval needs.
_FEWEST = 5

_WORST = 5


@dataclass(frozen=True)
class Subgroup:
    """Clips that have a value of an attribute in common."""

    attribute: str  #: sex, age, ...
    value: str
    clips: int
    speakers: int
    uar: float
    interval: tuple[float, float] | None  #: of UAR; nothing for one speaker
    difference: float | None  #: to UAR of all others, over the emotions that both have; nothing where they share none
    difference_interval: tuple[float, float] | None  #: widened, as the module says; from five speakers a side on
    stands_out: bool


@dataclass(frozen=True)
class Speaker:
    """UAR of one speaker, over the emotions that they spoke."""

    speaker: str
    clips: int
    uar: float


@dataclass(frozen=True)
class Fairness:
    """UAR by subgroup, and by speaker from the worst to the best."""

    subgroups: tuple[Subgroup, ...]
    speakers: tuple[Speaker, ...]

    @property
    def worst(self) -> tuple[Speaker, ...]:
        """The five speakers who are recognised worst."""
        return self.speakers[:_WORST]

    @property
    def spread(self) -> float:
        """The standard deviation of UAR over speakers, 0 for one; chance makes some of it, more where clips are few."""
        return float(np.std([each.uar for each in self.speakers], ddof=1)) if len(self.speakers) > 1 else 0.0


def fairness_of(
    truth: np.ndarray,
    predicted: np.ndarray,
    speakers: np.ndarray,
    attributes: Mapping[str, np.ndarray],
    classes: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    repeats: int = 1,
) -> Fairness:
    """UAR of subgroups and of speakers.

    Args:
        truth: int [rows].
        predicted: int [rows].
        speakers: [rows].
        attributes: by name the values of clips, object [rows], ``None`` where one is not known. An attribute of which
            fewer than two values are known is left out.
        classes: how many there are.
        confidence: of the intervals.
        resamples: how many are drawn.
        seed: of the draws.
        repeats: rows of each clip, one after the other.
    """
    known = {name: values for name, values in attributes.items() if len(_values(values)) > 1}
    # Of two values, one differs from the other as the other does from it.
    looked_at = sum(len(_values(values)) if len(_values(values)) > 2 else 1 for values in known.values())
    drawn = resample(speakers, resamples=resamples, seed=seed, repeats=repeats)
    rows = _Rows(truth, predicted, np.asarray(speakers, str), classes, repeats, drawn, confidence)
    widened = 1 - (1 - confidence) / max(looked_at, 1)
    return Fairness(
        tuple(
            rows.subgroup(attribute, value, values == value, ~_is_none(values) & (values != value), widened)
            for attribute, values in known.items()
            for value in _values(values)
        ),
        rows.by_speaker(),
    )


def age_groups(ages: np.ndarray) -> np.ndarray:
    """The group of each age in years, [clips]; ``None`` where it is not known (None or NaN)."""
    return np.array(
        [next((name for name, (low, high) in AGES.items() if low <= _number(age) < high), None) for age in ages], object
    )


@dataclass(frozen=True)
class _Rows:
    """A test set with its resamples."""

    truth: np.ndarray
    predicted: np.ndarray
    speakers: np.ndarray
    classes: int
    repeats: int
    drawn: Resamples
    confidence: float

    def subgroup(self, attribute: str, value: str, inside: np.ndarray, others: np.ndarray, widened: float) -> Subgroup:
        speakers = self._count(inside)
        difference, interval = self._difference(inside, others, widened)
        return Subgroup(
            attribute=attribute,
            value=value,
            clips=int(inside.sum()) // self.repeats,
            speakers=speakers,
            uar=self._uar(inside),
            interval=percentiles(self._uars(inside), self.confidence) if speakers > 1 else None,
            difference=difference,
            difference_interval=interval,
            stands_out=interval is not None and not interval[0] <= 0 <= interval[1],
        )

    def by_speaker(self) -> tuple[Speaker, ...]:
        scores = [
            Speaker(str(speaker), int(inside.sum()) // self.repeats, self._uar(inside))
            for speaker in np.unique(self.speakers)
            for inside in [self.speakers == speaker]
        ]
        return tuple(sorted(scores, key=lambda each: (each.uar, each.speaker)))

    def _difference(
        self, inside: np.ndarray, others: np.ndarray, widened: float
    ) -> tuple[float | None, tuple[float, float] | None]:
        shared = np.intersect1d(self.truth[inside], self.truth[others])
        if len(shared) == 0:
            return None, None
        counted = np.isin(self.truth, shared)
        inside, others = inside & counted, others & counted
        difference = self._uar(inside) - self._uar(others)
        fewest = min(self._count(inside), self._count(others))
        if fewest < _FEWEST:
            return difference, None
        return difference, percentiles(self._uars(inside) - self._uars(others), widened, units=fewest)

    def _count(self, where: np.ndarray) -> int:
        return len(np.unique(self.speakers[where]))

    def _uar(self, where: np.ndarray) -> float:
        return unweighted_average_recall(confusion_matrix(self.truth[where], self.predicted[where], self.classes))

    def _uars(self, where: np.ndarray) -> np.ndarray:
        return self.drawn.uar(self.truth, self.predicted, self.classes, where)


def _values(values: np.ndarray) -> list[str]:
    """The known values, sorted: ages by age, intensities by strength, others by name."""
    order = {value: number for number, value in enumerate((*AGES, *_INTENSITIES))}
    return sorted(set(values[~_is_none(values)]), key=lambda value: (order.get(value, -1), value))


def _is_none(values: np.ndarray) -> np.ndarray:
    return np.array([value is None for value in values])


def _number(age: float | None) -> float:
    return -1.0 if age is None or not age >= 0 else float(age)
