"""The pictures that people look at, drawn alike."""

from emodag.plots.audit import audit_figure
from emodag.plots.base import COLOURS, FAINT, INK, number, save, save_into, svg
from emodag.plots.comparison import comparison_figure
from emodag.plots.confusion import confusion_figure, recall_figure
from emodag.plots.embedding import embedding_figure
from emodag.plots.evaluation import coverage_figure, fairness_figure, reliability_figure, robustness_figure
from emodag.plots.explanation import explanation_figure, importance_figure
from emodag.plots.learning import learning_figure
from emodag.plots.matrix import matrix_figure

__all__ = [
    "COLOURS",
    "FAINT",
    "INK",
    "audit_figure",
    "comparison_figure",
    "confusion_figure",
    "coverage_figure",
    "embedding_figure",
    "explanation_figure",
    "fairness_figure",
    "importance_figure",
    "learning_figure",
    "matrix_figure",
    "number",
    "recall_figure",
    "reliability_figure",
    "robustness_figure",
    "save",
    "save_into",
    "svg",
]
