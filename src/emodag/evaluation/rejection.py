"""What a model gains by not answering: it calls the emotion unknown where its confidence is low.

Clips are answered from the most confident down. Coverage is the share that is answered, risk the share of these that is
wrong (El-Yaniv and Wiener 2010); the area under risk over coverage, AURC, is low for a model that is seldom wrong and
knows when it is (Geifman and El-Yaniv 2017, arXiv 1705.08500).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emodag.errors import DataError
from emodag.evaluation.scores import confusion_matrix, unweighted_average_recall, weighted_accuracy


@dataclass(frozen=True)
class Rejection:
    """Coverage against scores, and what the threshold of the shipped model makes of it."""

    threshold: float  #: calibrated probability; below it the emotion is unknown
    answered: float  #: share of the clips that reach it
    accuracy: float | None  #: share of these that is right; nothing where none is answered
    uar: float | None  #: over the classes that occur among these
    area: float  #: AURC, the mean risk over all coverages
    coverages: np.ndarray  #: float [points], ascending to 1
    accuracies: np.ndarray  #: of the so many most confident clips, float [points]
    uars: np.ndarray  #: float [points]


def rejection_of(
    confidence: np.ndarray, truth: np.ndarray, predicted: np.ndarray, classes: int, threshold: float, points: int = 20
) -> Rejection:
    """Coverage against accuracy and UAR.

    Args:
        confidence: the calibrated probability of the predicted class, [clips].
        truth: int [clips].
        predicted: int [clips].
        classes: how many there are.
        threshold: confidences below it are not answered.
        points: of the curves, at coverages ``1 / points``, ``2 / points``, ..., 1. Clips as confident as the last one
            that is answered are answered too, so a point's coverage can be larger.

    Raises:
        DataError: there is no clip.
    """
    if len(truth) == 0:
        raise DataError("no truth: the test set is empty, so there is nothing to reject")
    reached = confidence >= threshold
    wanted = np.ceil(np.arange(1, points + 1) / points * len(truth)).astype(int)
    least = np.unique(np.sort(confidence)[::-1][wanted - 1])[::-1]
    parts = [confusion_matrix(truth[kept], predicted[kept], classes) for kept in (confidence >= each for each in least)]
    some = confusion_matrix(truth[reached], predicted[reached], classes) if reached.any() else None
    return Rejection(
        threshold=threshold,
        answered=float(reached.mean()),
        accuracy=None if some is None else weighted_accuracy(some),
        uar=None if some is None else unweighted_average_recall(some),
        area=area_under_risk(confidence, truth != predicted),
        coverages=np.array([part.sum() / len(truth) for part in parts]),
        accuracies=np.array([weighted_accuracy(part) for part in parts]),
        uars=np.array([unweighted_average_recall(part) for part in parts]),
    )


def area_under_risk(confidence: np.ndarray, wrong: np.ndarray) -> float:
    """AURC: the mean over n of the share of wrong ones among the n most confident clips.

    Equally confident clips come in any order; theirs is the risk to be expected.

    Args:
        confidence: [clips].
        wrong: bool [clips].
    """
    _, tie, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    share_wrong = np.bincount(tie, wrong) / counts
    return float(np.mean(np.cumsum(np.repeat(share_wrong, counts)) / np.arange(1, len(wrong) + 1)))
