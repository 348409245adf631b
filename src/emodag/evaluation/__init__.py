"""Scores of emotion recognition and what they are worth, from truths and predictions alone."""

from emodag.evaluation.calibration import fit_temperature, tempered
from emodag.evaluation.scores import (
    Intervals,
    Scores,
    bootstrap_intervals,
    confusion_matrix,
    evaluate,
    f1,
    macro_f1,
    precision,
    recall,
    unweighted_average_recall,
    weighted_accuracy,
)

__all__ = [
    "Intervals",
    "Scores",
    "bootstrap_intervals",
    "confusion_matrix",
    "evaluate",
    "f1",
    "fit_temperature",
    "macro_f1",
    "precision",
    "recall",
    "tempered",
    "unweighted_average_recall",
    "weighted_accuracy",
]
