"""Why a model says what it says: of one recording, and of the groups of features that it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.plots.base import COLOURS, FAINT, INK, bare, figure_with_axes, set_titles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emodag.explanation import Evidence, Explanation

#: The outline of what speaks against it, which is not filled, since an emotion may itself be grey; and the map of what
#: speaks for and against (safe for the colour blind).
_AGAINST, _DIVERGING = "#7c8490", "PuOr_r"
_MOST = 8  # bars of either sign
_BAR = "#3f78b5"


def explanation_figure(explanation: Explanation, *, title: str, notes: Sequence[str]) -> Figure:
    """Where in the sound and in which groups of features the evidence for the explained emotion lies.

    To the left the waveform, coloured by what silence would cost, the log-mel spectrogram and, of models of frames,
    what each stretch of each band adds; to the right the strongest groups for and against.
    """
    from emodag.explanation import strongest

    heat = explanation.heat
    figure, area = figure_with_axes(
        *((10.8, 4.2) if heat is None else (10.2, 6.0)), left=0.75 if heat is None else 1.35
    )
    box = area.get_position()
    area.remove()
    rows = [1, 1.4] if heat is None else [1, 1.4, 1.7]
    grid = figure.add_gridspec(
        len(rows), 2, height_ratios=rows, width_ratios=[1.25, 1], wspace=0.68, hspace=0.16,
        left=box.x0, right=box.x1, bottom=box.y0, top=box.y1,
    )  # fmt: skip
    panels = [figure.add_subplot(grid[row, 0]) for row in range(len(rows))]
    spoken = explanation.spoken
    span = spoken.start, spoken.start + len(spoken.samples) / SAMPLE_RATE
    _waveform(panels[0], explanation, span)
    panels[1].imshow(
        explanation.log_mel.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(*span, 0, explanation.log_mel.shape[1]),
    )
    panels[1].set_ylabel("mel band", color=FAINT, fontsize=8.5)
    if heat is not None:
        _heat(panels[2], explanation, span)
    for panel in panels:
        panel.set_xlim(span)
        panel.tick_params(length=0, colors=FAINT, labelsize=8, labelbottom=panel is panels[-1])
        panel.spines[:].set_visible(False)
    panels[-1].set_xlabel("s", color=FAINT)
    _bars(figure.add_subplot(grid[:, 1]), strongest(explanation.groups, _MOST), COLOURS[explanation.explained])
    set_titles(figure, title, notes, leaky=False)
    return figure


def _waveform(axes: Axes, explanation: Explanation, span: tuple[float, float]) -> None:
    """The samples over stretches coloured by what they add."""
    samples = explanation.spoken.samples
    most = max(max(abs(moment.points) for moment in explanation.moments), 1e-9)
    for moment in explanation.moments:
        strength = 0.75 * abs(moment.points) / most
        looks = (
            {"facecolor": COLOURS[explanation.explained]}
            if moment.points > 0
            else {"facecolor": "none", "edgecolor": _AGAINST, "hatch": "////"}
        )
        axes.axvspan(moment.start, moment.end, **looks, alpha=strength, linewidth=0)
    axes.plot(np.linspace(*span, len(samples), endpoint=False), samples, color=INK, linewidth=0.4)
    loudest = max(float(np.abs(samples).max()), 1e-6)
    axes.set_ylim(-1.1 * loudest, 1.1 * loudest)
    axes.set_yticks([])
    axes.set_ylabel("sound", color=FAINT, fontsize=8.5)


def _heat(axes: Axes, explanation: Explanation, span: tuple[float, float]) -> None:
    """What each stretch of each band of frames adds, in percentage points."""
    heat = explanation.heat
    points = 100 * heat.points.T
    most = max(float(np.abs(points).max()), 1e-9)
    image = axes.imshow(
        points, origin="lower", aspect="auto", cmap=_DIVERGING, vmin=-most, vmax=most, extent=(*span, 0, len(points))
    )
    axes.set_yticks(np.arange(len(points)) + 0.5, [_short(band) for band in heat.bands])
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.015, 0, 0.02, 1)))
    bar.ax.tick_params(length=0, colors=FAINT, labelsize=7)
    bar.outline.set_visible(False)
    bar.set_label("points", color=FAINT, fontsize=8)


def _short(band: str) -> str:
    """A band without what all of them share: ``log_mel over time, 50 to 310 Hz`` is at ``50 to 310 Hz``."""
    group, _, where = band.partition(" over time")
    return where.removeprefix(", ") or group


def _bars(axes: Axes, evidence: Sequence[Evidence], colour: str) -> None:
    """What speaks for it above, what speaks against it below."""
    values = np.array([100 * each.points for each in evidence])
    places = np.arange(len(values))
    speaks_for = values > 0
    axes.barh(places[speaks_for], values[speaks_for], height=0.66, color=colour, zorder=2)
    against = {"facecolor": "white", "edgecolor": _AGAINST, "hatch": "////", "linewidth": 1}
    axes.barh(places[~speaks_for], values[~speaks_for], height=0.66, zorder=2, **against)
    reach = max(np.abs(values).max(initial=0.0), 0.1)
    for place, value in zip(places, values, strict=True):
        axes.text(
            value + np.sign(value) * 0.03 * reach, place, f"{value:+.1f}", va="center", fontsize=8.5, color=INK,
            ha="left" if value > 0 else "right",
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.8, zorder=3)
    axes.set_yticks(places, [each.words for each in evidence])
    axes.set_xlim(min(values.min(initial=0.0), 0.0) - 0.25 * reach, max(values.max(initial=0.0), 0.0) + 0.25 * reach)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlabel("percentage points of probability", color=FAINT)
    axes.tick_params(length=0, labelsize=8.5)
    axes.tick_params(axis="x", colors=FAINT)
    bare(axes)


def importance_figure(importance: pd.DataFrame, *, title: str, notes: Sequence[str], leaky: bool = False) -> Figure:
    """How much UAR falls when the values of a group are dealt anew among clips, the most important group first.

    Args:
        importance: ``group``, ``drop`` and ``spread`` (its standard deviation over repetitions), by
            :func:`emodag.importance.importances`.
        title: what was scored.
        notes: how: protocol, clips, repetitions.
        leaky: the title says so, in another colour.
    """
    rows = importance.sort_values("drop", ascending=False, kind="stable")
    figure, axes = figure_with_axes(5.6, max(0.3 * len(rows), 1.2), left=2.6)
    places = np.arange(len(rows))
    drops, spreads = 100 * rows["drop"].to_numpy(), 100 * rows["spread"].to_numpy()
    axes.barh(places, drops, height=0.66, color=_BAR, zorder=2)
    for place, drop, spread in zip(places, drops, spreads, strict=True):
        axes.plot([drop - spread, drop + spread], [place, place], color=INK, linewidth=1.2, zorder=3)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=3)
    axes.set_yticks(places, rows["group"])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("fall of UAR, percentage points", color=FAINT)
    axes.tick_params(length=0, labelsize=8.5)
    axes.tick_params(axis="x", colors=FAINT)
    bare(axes)
    set_titles(figure, title, notes, leaky)
    return figure
