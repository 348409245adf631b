"""Confusion matrices and recalls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.plots.base import COLOURS, FAINT, INK, as_cells, bare, figure_with_axes, number, set_titles

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(
    confusion: np.ndarray, classes: Sequence[str], *, title: str, notes: Sequence[str], leaky: bool = False
) -> Figure:
    """A confusion matrix, each row as shares of the clips of that emotion, with the counts.

    Args:
        confusion: clips, or their means over seeds, [classes, classes], truth in rows. Rows without clips and columns
            never predicted are left out.
        classes: the emotions.
        title: what was scored and the score.
        notes: how: protocol, clips, speakers, policies.
        leaky: the title says so, in another colour.
    """
    rows = np.flatnonzero(confusion.sum(axis=1))
    columns = np.flatnonzero(confusion.sum(axis=1) + confusion.sum(axis=0))
    counts = confusion[np.ix_(rows, columns)]
    support = counts.sum(axis=1)
    shares = counts / support[:, None]

    figure, axes = figure_with_axes(max(0.86 * len(columns), 4.2), 0.66 * len(rows), left=1.75)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(len(rows)):
        for column in range(len(columns)):
            if counts[row, column] == 0:
                continue
            share = shares[row, column]
            ink = "white" if share > 0.55 else INK
            axes.text(column, row - 0.1, f"{share:.0%}", ha="center", va="center", color=ink, fontsize=10.5)
            axes.text(
                column, row + 0.24, number(counts[row, column]), ha="center", va="center", color=ink, fontsize=7.5
            )
    axes.set_xticks(range(len(columns)), [classes[column] for column in columns])
    axes.set_yticks(range(len(rows)), [f"{classes[i]}  ({number(n)})" for i, n in zip(rows, support, strict=True)])
    for label, column in zip(axes.get_xticklabels(), columns, strict=True):
        label.set_color(COLOURS[classes[column]])
        label.set_fontweight("bold")
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS[classes[row]])
        label.set_fontweight("bold")
    as_cells(axes, len(rows), len(columns))
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("spoken (clips)", color=FAINT)
    set_titles(figure, title, notes, leaky)
    return figure


def recall_figure(
    recalls: np.ndarray,
    intervals: np.ndarray,
    classes: Sequence[str],
    *,
    chance: float,
    uar: float,
    title: str,
    notes: Sequence[str],
    leaky: bool = False,
) -> Figure:
    """The recall of each emotion with its interval, beside their mean and chance.

    Args:
        recalls: [classes].
        intervals: [classes, 2], low and high.
        classes: the emotions that occur in the truth.
        chance: the recall of guessing.
        uar: the mean of the recalls.
        title: what was scored and the score.
        notes: how: protocol, clips, speakers, policies.
        leaky: the title says so, in another colour.
    """
    figure, axes = figure_with_axes(6.4, 0.5 * len(classes), left=1.2)
    places = np.arange(len(classes))
    backing = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.barh(places, recalls, height=0.62, color=[COLOURS[emotion] for emotion in classes], zorder=2)
    for place, value, (low, high) in zip(places, recalls, intervals, strict=True):
        axes.plot([low, high], [place, place], color=INK, linewidth=1.3, solid_capstyle="butt", zorder=3)
        axes.plot([low, high], [place, place], "|", color=INK, markersize=7, zorder=3)
        axes.text(max(high, value) + 0.015, place, f"{value:.0%}", va="center", color=INK, fontsize=10, bbox=backing)
    axes.axvline(uar, color=INK, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    axes.axvline(chance, color=FAINT, linewidth=1.2, linestyle=":", zorder=1)
    for value, name in ((uar, f"UAR {uar:.0%}"), (chance, f"chance {chance:.0%}")):
        axes.annotate(
            name, (value, -0.75), ha="center", va="bottom", color=INK if name[0] == "U" else FAINT, fontsize=8.5
        )
    axes.set_yticks(places, classes)
    for label, emotion in zip(axes.get_yticklabels(), classes, strict=True):
        label.set_color(COLOURS[emotion])
        label.set_fontweight("bold")
    axes.set_xlim(0, 1.08)
    axes.set_ylim(len(classes) - 0.4, -0.75)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    axes.set_xlabel("recall", color=FAINT)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", colors=FAINT)
    bare(axes)
    set_titles(figure, title, notes, leaky)
    return figure
