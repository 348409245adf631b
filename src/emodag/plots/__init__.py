"""The pictures that people look at, drawn alike."""

from emodag.plots.base import COLOURS, FAINT, INK, save, save_into, svg
from emodag.plots.comparison import comparison_figure
from emodag.plots.confusion import confusion_figure, recall_figure
from emodag.plots.embedding import embedding_figure
from emodag.plots.learning import learning_figure
from emodag.plots.matrix import matrix_figure

__all__ = [
    "COLOURS",
    "comparison_figure",
    "confusion_figure",
    "embedding_figure",
    "learning_figure",
    "matrix_figure",
    "recall_figure",
    "save",
    "save_into",
    "svg",
]
