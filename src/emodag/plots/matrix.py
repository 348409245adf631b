"""Every corpus against every other."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.plots.base import FAINT, INK, as_cells, figure_with_axes, set_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emodag.matrix import Cell, Matrix

_WIDTH, _HEIGHT = 1.5, 0.95  # inches of a cell
_NARROWEST = 5.2
_REASON = {"width": 28, "max_lines": 6, "placeholder": " …"}


def matrix_figure(matrix: Matrix, *, title: str, notes: Sequence[str]) -> Figure:
    """A heat map: a row per training corpus, a column per tested one.

    Classes differ from cell to cell and with them chance, so the colour is not the UAR but how far it lies on the way
    from chance to 100 %. Cells on the diagonal are framed; empty ones say why.

    Args:
        matrix: all cells.
        title: what is shown.
        notes: under which policies.
    """
    corpora = matrix.corpora
    above_chance = np.full((len(corpora), len(corpora)), np.nan)
    for row, trained in enumerate(corpora):
        for column, tested in enumerate(corpora):
            cell = matrix.cells[trained, tested]
            if cell.scores is not None:
                chance = 1 / len(cell.scores.classes)
                above_chance[row, column] = max(0.0, (cell.scores.uar - chance) / (1 - chance))
    longest = max(map(len, corpora))
    width = max(_WIDTH * len(corpora), _NARROWEST)
    figure, axes = figure_with_axes(width, _HEIGHT * len(corpora), left=0.65 + 0.1 * longest)
    axes.imshow(np.ma.masked_invalid(above_chance), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_facecolor("#f3f4f6")
    for row, trained in enumerate(corpora):
        for column, tested in enumerate(corpora):
            _write(axes, row, column, matrix.cells[trained, tested], dark=above_chance[row, column] > 0.55)
    axes.set_xticks(range(len(corpora)), corpora, fontweight="bold", color=INK)
    axes.set_yticks(range(len(corpora)), corpora, fontweight="bold", color=INK)
    as_cells(axes, len(corpora), len(corpora))
    axes.set_xlabel("tested", color=FAINT)
    axes.set_ylabel("trained", color=FAINT)
    set_titles(figure, title, notes, leaky=False)
    return figure


def _write(axes: Axes, row: int, column: int, cell: Cell, *, dark: bool) -> None:
    centred = {"ha": "center", "va": "center"}
    if cell.scores is None:
        reason = "\n".join(textwrap.wrap(cell.brief or cell.reason, **_REASON))
        axes.text(column, row, reason, color=FAINT, fontsize=6.5, **centred)
    else:
        ink = "white" if dark else INK
        facts = cell.scores.summary()
        low, high = (100 * facts[bound] for bound in ("uar_low", "uar_high"))
        axes.text(column, row - 0.18, f"{facts['uar']:.1%}", color=ink, fontsize=12.5, fontweight="bold", **centred)
        axes.text(column, row + 0.1, f"{low:.1f} to {high:.1f}", color=ink, fontsize=8, **centred)
        speakers = f"{facts['speakers']} speaker{'s' * (facts['speakers'] != 1)}"
        told = f"{len(cell.scores.classes)} classes, {speakers}"
        axes.text(column, row + 0.31, told, color=ink, fontsize=7, **centred)
    if row == column:
        from matplotlib.patches import Rectangle

        edge = "white" if dark else FAINT
        axes.add_patch(Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, edgecolor=edge, linewidth=0.8))
