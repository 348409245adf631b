"""Whether one model is better than another on the same clips, or only luckier.

Two models that were tested on the same clips of the same speakers are compared in pairs: easy voices are easy for both,
and their difference varies far less than either score. Three views of one difference:

- **Interval.** The paired bootstrap of Bisani and Ney (2004, doi 10.1109/ICASSP.2004.1326009): speakers are drawn with
  replacement, the same for both models, and the difference of their UARs is taken anew. Its percentiles make the
  interval, expanded where speakers are few (:func:`emodag.evaluation.scores.percentiles`). The share of resamples in
  which the second model is better is its *probability of superiority* (there: probability of improvement).
- **Randomisation test.** Had both models been alike, swapping what they said about any speaker would change nothing but
  the sign of that speaker's part of the difference (Noreen 1989; Yeh 2000, aclanthology.org/C00-2137). Clips of one
  speaker may depend on each other, and speakers may be few: of 5, no p can be below 0.06.
- **McNemar's test** (1947, doi 10.1007/BF02295996): of the clips that only one of the two recognises, how many does
  each. It takes clips for independent and weighs them alike, so it is about accuracy rather than UAR and too sure of
  itself where speakers differ. Both p values are given: the exact one and mid-p, which errs less on the safe side
  (Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from emodag.errors import DataError
from emodag.evaluation.scores import percentiles, resample

#: Up to so many speakers, the randomisation test goes through all ways to swap them.
_SWAPPED_IN_FULL = 12

#: Sums of the same numbers in another order differ by rounding; such differences count as equal.
_ROUNDING = 1e-12


class McNemar(NamedTuple):
    """Clips on which the models disagree, and two-sided p values of such an imbalance by chance."""

    first_only: int  #: clips that the first recognises more often than the second
    second_only: int
    exact: float
    mid_p: float


@dataclass(frozen=True)
class Comparison:
    """Two models on the same clips; pairs are (first, second), differences are second less first.

    Arrays go over the classes that occur in the truth.
    """

    classes: tuple[str, ...]
    support: np.ndarray  #: int [classes], clips
    uar: tuple[float, float]
    uar_intervals: np.ndarray  #: float [2, 2]: each model's low and high
    recalls: np.ndarray  #: float [2, classes]
    #: float [classes, 2]: low and high of the difference; -1 and 1 of a class that a single speaker has
    recall_intervals: np.ndarray
    interval: tuple[float, float]  #: of the difference
    differences: np.ndarray  #: float [resamples], of UAR
    superiority: float  #: share of resamples in which the second model is better; ties count half
    p: float  #: of the randomisation test, two-sided
    mcnemar: McNemar
    unit: Literal["speakers", "clips"]  #: what was drawn and swapped: clips only where there is one speaker
    clips: int
    speakers: int
    confidence: float

    @property
    def difference(self) -> float:
        """How much higher the second model's UAR is."""
        return self.uar[1] - self.uar[0]

    @property
    def ahead(self) -> str:
        """The superiority in whole per cent; what is neither all nor none of the resamples is not told as such."""
        if 0.99 < self.superiority < 1:
            return ">99%"
        return "<1%" if 0 < self.superiority < 0.01 else f"{self.superiority:.0%}"

    @property
    def is_clear(self) -> bool:
        """Whether chance is an unlikely explanation: the interval leaves 0 out, and the randomisation test agrees."""
        low, high = self.interval
        return (low > 0 or high < 0) and self.p < 1 - self.confidence


def compare(
    truth: np.ndarray,
    hits: np.ndarray,
    speakers: np.ndarray,
    classes: tuple[str, ...],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same clips.

    Args:
        truth: int [clips], positions in ``classes``.
        hits: float [2, clips], whether each model recognised each clip; with several seeds the share of them that did.
        speakers: an identifier per clip, [clips].
        classes: the emotions.
        confidence: share of the resamples inside an interval.
        resamples: bootstrap resamples, and ways of swapping speakers where they are more than 12.
        seed: the same seed gives the same comparison.

    Raises:
        DataError: there is no clip, or the arrays do not fit each other.
    """
    truth, hits = np.asarray(truth), np.asarray(hits, np.float64)
    if truth.size == 0:
        raise DataError("no clip is left to compare two models on")
    if hits.shape != (2, len(truth)) or len(speakers) != len(truth):
        raise DataError(
            f"{len(truth)} truths, hits {list(hits.shape)} and {len(speakers)} speakers do not fit each other"
        )
    present, label = np.unique(truth, return_inverse=True)
    # Drawn as for the interval of one model, so that the same clips and seed give it the same interval here.
    units, drawn, unit = resample(speakers, resamples=resamples, seed=seed)
    support = np.zeros((drawn.shape[1], len(present)))
    hit = np.zeros((2, *support.shape))
    np.add.at(support, (units, label), 1)
    for model in range(2):
        np.add.at(hit[model], (units, label), hits[model])

    of_drawn = drawn @ support
    occurs = of_drawn > 0
    recalls = np.divide(drawn @ hit, of_drawn, out=np.zeros((2, *of_drawn.shape)), where=occurs)
    uars = recalls.sum(axis=2) / occurs.sum(axis=1)
    differences = uars[1] - uars[0]
    of_class = np.where(occurs, recalls[1] - recalls[0], np.nan).T
    having = np.count_nonzero(support, axis=0)

    totals = support.sum(axis=0)
    recall = hit.sum(axis=1) / totals
    return Comparison(
        classes=tuple(classes[number] for number in present),
        support=totals.astype(np.int64),
        uar=(float(recall[0].mean()), float(recall[1].mean())),
        uar_intervals=np.array([percentiles(of_model, confidence) for of_model in uars]),
        recalls=recall,
        recall_intervals=np.array(
            [
                percentiles(each, confidence, units=units) if units > 1 else (-1.0, 1.0)
                for each, units in zip(of_class, having, strict=True)
            ]
        ),
        interval=percentiles(differences, confidence, units=drawn.shape[1]),
        differences=differences,
        superiority=float(np.mean(np.where(np.abs(differences) < _ROUNDING, 0.5, differences > 0))),
        p=randomisation_p(((hit[1] - hit[0]) / totals).mean(axis=1), resamples=resamples, seed=seed),
        mcnemar=mcnemar(*hits),
        unit=unit,
        clips=len(truth),
        speakers=len(np.unique(np.asarray(speakers, dtype=str))),
        confidence=confidence,
    )


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's test on clips, exact and mid-p, both two-sided.

    With several seeds, where hits are shares, it is the sign test on which model recognises a clip more often; with one
    the two are the same.

    Args:
        first: float [clips], whether the first model recognised each clip, or the share of its seeds that did.
        second: float [clips].
    """
    from scipy.stats import binom, binomtest

    difference = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    first_only, second_only = (int(np.count_nonzero(sign * difference > _ROUNDING)) for sign in (-1, 1))
    clips = first_only + second_only
    if clips == 0:
        return McNemar(0, 0, 1.0, 1.0)
    fewer = min(first_only, second_only)
    exact = float(binomtest(fewer, clips, 0.5).pvalue)
    mid_p = float(2 * binom.cdf(fewer, clips, 0.5) - binom.pmf(fewer, clips, 0.5))
    return McNemar(first_only, second_only, exact, min(mid_p, 1.0))


def randomisation_p(parts: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> float:
    """How often swapping the two models at random, speaker by speaker, gives a difference as large: two-sided p.

    Args:
        parts: float [speakers], each speaker's part of the difference; they add up to it.
        resamples: ways of swapping that are drawn where speakers are more than 12; the one observed counts as one more
            (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585).
        seed: of the draw.
    """
    parts = np.asarray(parts, np.float64)
    observed = abs(parts.sum()) - _ROUNDING
    if len(parts) <= _SWAPPED_IN_FULL:
        numbers = np.arange(2 ** len(parts))[:, None]
        signs = 1 - 2 * (numbers >> np.arange(len(parts)) & 1)
        return float(np.mean(np.abs(signs @ parts) >= observed))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(parts)))
    return float((1 + np.count_nonzero(np.abs(signs @ parts) >= observed)) / (1 + resamples))
