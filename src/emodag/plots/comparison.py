"""Two models on the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.plots.base import COLOURS, FAINT, INK, bare, figure_with_axes, keep_within, literal, set_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emodag.evaluation.comparison import Comparison

_SCORES, _HISTOGRAM, _GAP, _ROW = 0.75, 1.3, 0.95, 0.36  # inches
_HIGHLIGHT = "#3f78b5"


def comparison_figure(
    comparison: Comparison, names: tuple[str, str], *, title: str, notes: Sequence[str], leaky: bool = False
) -> Figure:
    """Both scores with their intervals, the resampled differences, and the difference of each emotion's recall.

    Args:
        comparison: of the second model with the first.
        names: of the two.
        title: what was compared and the difference.
        notes: how.
        leaky: the title says so, in another colour.
    """
    classes = _ROW * len(comparison.classes)
    heights = (_SCORES, _HISTOGRAM, classes)
    whole = sum(heights) + 2 * _GAP
    left = max(1.2, 0.35 + 0.09 * max(map(len, names)))
    names = literal(names[0]), literal(names[1])
    figure, axes = figure_with_axes(6.4, whole, left=left)
    axes.set_axis_off()
    panels, top = [], whole
    for height in heights:
        top -= height
        panels.append(axes.inset_axes((0, top / whole, 1, height / whole)))
        top -= _GAP
    _scores(panels[0], comparison, names)
    _differences(panels[1], comparison, names)
    _recalls(panels[2], comparison)
    for panel in panels:
        panel.tick_params(length=0)
        panel.tick_params(axis="x", colors=FAINT)
        bare(panel)
    set_titles(figure, title, notes, leaky)
    return figure


def _scores(axes: Axes, comparison: Comparison, names: tuple[str, str]) -> None:
    for place, (uar, (low, high)) in enumerate(zip(comparison.uar, comparison.uar_intervals, strict=True)):
        axes.plot([100 * low, 100 * high], [place, place], color=INK, linewidth=1.5, marker="|", markersize=8)
        axes.plot(100 * uar, place, "o", color=_HIGHLIGHT if place else FAINT, markersize=8)
        axes.annotate(
            f"{100 * uar:.1f}", (100 * high, place), (8, 0), textcoords="offset points", va="center", color=INK
        )
    axes.set_yticks((0, 1), names, color=INK)
    axes.set_ylim(1.6, -0.6)
    axes.margins(x=0.12)
    axes.set_xlabel("UAR, %", color=FAINT)


def _differences(axes: Axes, comparison: Comparison, names: tuple[str, str]) -> None:
    differences = 100 * comparison.differences
    low, high = 100 * np.array(comparison.interval)
    counts, edges, bars = axes.hist(differences, bins=40, color="#d5dae1", zorder=2)
    for left, right, bar in zip(edges, edges[1:], bars, strict=False):
        if low <= (left + right) / 2 <= high:
            bar.set_facecolor("#9db8d6")
    top = max(counts.max(), 1) * 1.28
    axes.axvline(0, ymax=0.88, color=INK, linewidth=1.2, zorder=3)  # the words above are written across it
    axes.plot(100 * comparison.difference, 0, "^", color=_HIGHLIGHT, markersize=9, clip_on=False, zorder=4)
    axes.plot([low, high], [top * 0.86] * 2, color=INK, linewidth=1.5, marker="|", markersize=8, zorder=3)
    note = axes.annotate(
        f"{100 * comparison.difference:+.1f} [{low:.1f}, {high:.1f}]; {names[1]} ahead in "
        f"{comparison.ahead} of resamples",
        ((low + high) / 2, top * 0.9), (0, 3), textcoords="offset points", ha="center", va="bottom", color=INK,
        fontsize=8.5,
    )  # fmt: skip
    axes.set_ylim(0, top)
    axes.set_yticks([])
    reach = 1.08 * max(np.abs(differences).max(), 1.0)
    axes.set_xlim(min(-0.15 * reach, 1.08 * differences.min()), max(0.15 * reach, 1.08 * differences.max()))
    keep_within(axes, note)
    axes.set_xlabel(f"{names[1]} less {names[0]}, points of UAR, {comparison.unit} drawn anew", color=FAINT)


def _recalls(axes: Axes, comparison: Comparison) -> None:
    places = np.arange(len(comparison.classes))
    # Adding 0 takes the minus from what rounds to nothing.
    differences = np.round(100 * (comparison.recalls[1] - comparison.recalls[0]), 1) + 0.0
    axes.barh(places, differences, height=0.62, color=[COLOURS[emotion] for emotion in comparison.classes], zorder=2)
    for place, value, (low, high) in zip(places, differences, 100 * comparison.recall_intervals, strict=True):
        axes.plot([low, high], [place, place], "|-", color=INK, linewidth=1.3, markersize=7, zorder=3)
        axes.annotate(
            f"{value:+.1f}", (max(high, value, 0), place), (6, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    axes.set_yticks(places, comparison.classes)
    for label, emotion in zip(axes.get_yticklabels(), comparison.classes, strict=True):
        label.set_color(COLOURS[emotion])
        label.set_fontweight("bold")
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.set_xlabel("recall, points", color=FAINT)
