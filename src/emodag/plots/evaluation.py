"""Calibration, rejection, fairness and robustness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from emodag.plots.base import ALARM, FAINT, INK, bare, figure_with_axes, literal, set_titles

if TYPE_CHECKING:
    from typing import Unpack

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emodag.evaluation import Calibration, Fairness, Rejection
    from emodag.robustness import Robustness

_STRONG, _WEAK = "#2f66a8", "#b9c0ca"
_INCHES_PER_CHARACTER = 0.085  # of a label beside the axes
_BACKING = {"facecolor": "white", "edgecolor": "none", "pad": 1}


class Titles(TypedDict, total=False):
    """What stands above a picture."""

    title: str  #: what was scored and the score
    notes: Sequence[str]  #: how: protocol, clips, speakers, policies
    leaky: bool  #: the title says so, in another colour


def reliability_figure(calibration: Calibration, **titles: Unpack[Titles]) -> Figure:
    """Accuracy by confidence, before and after temperature scaling; the area of a dot is the share of clips in it."""
    figure, axes = figure_with_axes(4.6, 4.2, left=0.9)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, linestyle=":", zorder=1)
    raw, calibrated = calibration.raw, calibration.calibrated
    for which, colour, name in (
        (raw, _WEAK, f"as the model says: ECE {raw.ece:.1%}"),
        (calibrated, _STRONG, f"at temperature {calibration.temperature:.2f}: ECE {calibrated.ece:.1%}"),
    ):
        curve = which.curve
        axes.plot(curve.confidence, curve.accuracy, color=colour, linewidth=1, alpha=0.6, label=name, zorder=2)
        axes.scatter(curve.confidence, curve.accuracy, s=4 + 700 * curve.share, color=colour, alpha=0.8, zorder=3)
    _shares(axes, "confidence (below the line: too sure of itself)", "share that is right")
    legend = axes.legend(loc="lower right", frameon=False, fontsize=8.5)
    for line in legend.get_lines():
        line.set(linewidth=4, alpha=1)
    _title(figure, "how far its probabilities can be believed", titles)
    return figure


def coverage_figure(rejection: Rejection, *, among: str = "", **titles: Unpack[Titles]) -> Figure:
    """Accuracy and UAR of the most confident clips, by how many are answered; a mark where the shipped model stands.

    Args:
        rejection: of a corpus.
        among: what the model answers, where that is more than what was scored.
        **titles: as for all pictures.
    """
    figure, axes = figure_with_axes(5.4, 3.6, left=0.9)
    for values, colour, name in ((rejection.accuracies, _STRONG, "accuracy"), (rejection.uars, "#ef8636", "UAR")):
        axes.plot(rejection.coverages, values, color=colour, linewidth=1.8, label=name, zorder=2)
    axes.axvline(rejection.answered, color=INK, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    told = "none" if rejection.accuracy is None else f"{rejection.accuracy:.0%} right"
    left = rejection.answered > 0.5
    axes.annotate(
        f"unknown below {rejection.threshold:.0%}:\n{rejection.answered:.0%} answered, {told}",
        (rejection.answered, 0.04),
        xytext=(-6 if left else 6, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        color=INK,
        fontsize=8.5,
        bbox=_BACKING,
    )
    _shares(axes, f"share of clips that is answered, the most confident first (AURC {rejection.area:.3f})", "")
    axes.legend(loc="lower left", frameon=False, fontsize=9, ncols=2, bbox_to_anchor=(0, 0.14))
    _title(figure, f"what it gains by not answering{', ' * bool(among)}{among}", titles)
    return figure


def fairness_figure(fairness: Fairness, *, uar: float, chance: float, **titles: Unpack[Titles]) -> Figure:
    """UAR of each subgroup with its interval, and of each speaker as a dot; what stands out has another colour.

    Args:
        fairness: of a corpus.
        uar: of all of its clips.
        chance: the UAR of guessing.
        **titles: as for all pictures.
    """
    parts = fairness.subgroups
    names = [literal(f"{part.attribute}: {part.value}  ({part.speakers})") for part in parts]
    left = max(1.9, 0.3 + _INCHES_PER_CHARACTER * max(map(len, names), default=0))
    figure, axes = figure_with_axes(6.0, 0.42 * (len(parts) + 1.8), left=left)
    for place, part in enumerate(parts):
        colour = ALARM if part.stands_out else _STRONG
        label = f"{part.uar:.0%}" + (f"  ({100 * part.difference:+.0f} points)" if part.stands_out else "")
        _point(axes, place, part.uar, part.interval, colour, label)
    last = len(parts) + 0.3
    scores = np.array([speaker.uar for speaker in fairness.speakers])
    # Spread so that equal scores do not hide each other: the same speakers always alike.
    heights = last + 0.24 * np.sin(2.4 * np.arange(len(scores)))
    axes.scatter(scores, heights, s=16, color=_STRONG, alpha=0.6, linewidths=0, zorder=3)
    worst = fairness.speakers[0]
    below = {"xytext": (0, -5), "textcoords": "offset points", "ha": "center", "va": "top"}
    axes.annotate(literal(worst.speaker), (max(worst.uar, 0.1), heights[0]), color=FAINT, fontsize=8, **below)
    _vertical(axes, uar, chance)
    axes.set_yticks([*range(len(parts)), last], [*names, f"each speaker  ({len(scores)})"])
    _across(axes, last + 0.8, "UAR (in brackets: speakers)")
    _title(figure, "for whom it works", titles)
    return figure


def robustness_figure(robustness: Robustness, *, chance: float, **titles: Unpack[Titles]) -> Figure:
    """UAR under each condition with its interval, beside that of the same clips as they are.

    Args:
        robustness: of a corpus.
        chance: the UAR of guessing.
        **titles: as for all pictures; the notes are told how many clips were spoilt.
    """
    spoilt = robustness.conditions
    figure, axes = figure_with_axes(6.0, 0.42 * len(spoilt), left=2.1)
    for place, each in enumerate(spoilt):
        _point(axes, place, each.uar, each.interval, _STRONG if place else INK, f"{each.uar:.0%}")
    _vertical(axes, spoilt[0].uar, chance, name="clean")
    axes.set_yticks(range(len(spoilt)), [each.label for each in spoilt])
    _across(axes, len(spoilt) - 0.4, f"UAR on {robustness.clips} clips of {robustness.speakers} speakers, as spoilt")
    _title(figure, "what spoils it", titles)
    return figure


def _point(
    axes: Axes, place: float, value: float, interval: tuple[float, float] | None, colour: str, label: str
) -> None:
    low, high = interval or (value, value)
    axes.plot([low, high], [place, place], color=colour, linewidth=2.2, alpha=0.45, solid_capstyle="butt", zorder=2)
    axes.plot(value, place, "o", color=colour, markersize=7, zorder=3)
    # On the side where there is room for it.
    beside, side = (low - 0.02, "right") if high > 0.75 and len(label) > 5 else (high + 0.02, "left")
    axes.text(beside, place, label, ha=side, va="center", color=colour, fontsize=9.5, bbox=_BACKING, zorder=2)


def _vertical(axes: Axes, uar: float, chance: float, name: str = "UAR") -> None:
    axes.axvline(uar, color=INK, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    axes.axvline(chance, color=FAINT, linewidth=1.2, linestyle=":", zorder=1)
    for value, text, colour in ((uar, f"{name} {uar:.0%}", INK), (chance, f"chance {chance:.0%}", FAINT)):
        axes.annotate(text, (value, -0.75), ha="center", va="bottom", color=colour, fontsize=8.5)


def _across(axes: Axes, lowest: float, label: str) -> None:
    axes.set_xlim(0, 1.08)
    axes.set_ylim(lowest, -0.75)
    ticks = np.linspace(0, 1, 6)
    axes.set_xticks(ticks, [f"{share:.0%}" for share in ticks])
    axes.set_xlabel(label, color=FAINT)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", colors=FAINT)
    bare(axes)


def _shares(axes: Axes, x: str, y: str) -> None:
    ticks = np.linspace(0, 1, 6)
    for axis, label in ((axes.xaxis, x), (axes.yaxis, y)):
        axis.set_ticks(ticks, [f"{share:.0%}" for share in ticks])
        axis.set_label_text(label, color=FAINT)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.tick_params(length=0, colors=FAINT)
    bare(axes)
    axes.yaxis.grid(True, color="#eceef1", zorder=0)


def _title(figure: Figure, subject: str, titles: Titles) -> None:
    set_titles(figure, titles["title"], [subject, *titles["notes"]], titles.get("leaky", False))
