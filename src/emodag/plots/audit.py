"""What a leaky split would claim, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.plots.base import ALARM, FAINT, INK, bare, figure_with_axes, set_titles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from emodag.audit import Audit

_HONEST_COLOUR = "#3f78b5"
_NAMED = 21  # %; shorter bars have no room for their names


def audit_figure(audit: Audit, *, title: str, notes: Sequence[str]) -> Figure:
    """Two bars for each corpus, tested by speakers apart and by the leaky split, with their intervals.

    Args:
        audit: both sides.
        title: what the leaky split would claim.
        notes: how it was found.
    """
    corpora = list(audit.flattered)
    figure, axes = figure_with_axes(6.4, 1.15 * len(corpora), left=0.65 + 0.1 * max(map(len, corpora)))
    for place, corpus in enumerate(corpora):
        sides = ((-0.19, audit.honest, _HONEST_COLOUR, "speakers apart"), (0.19, audit.leaky, ALARM, "leaky"))
        for offset, side, colour, name in sides:
            facts = side.scores[corpus].summary()
            uar, low, high = (100 * facts[key] for key in ("uar", "uar_low", "uar_high"))
            axes.barh(place + offset, uar, height=0.34, color=colour, zorder=2)
            axes.plot([low, high], [place + offset] * 2, "|-", color=INK, linewidth=1.3, markersize=7, zorder=3)
            inside = uar >= _NAMED
            if inside:
                axes.text(1, place + offset, name, color="white", va="center", fontsize=9, fontweight="bold", zorder=4)
            axes.annotate(
                f"{uar:.1f}" if inside else f"{uar:.1f}  {name}", (max(uar, high), place + offset), (6, 0),
                textcoords="offset points", va="center", color=INK, fontweight="bold", zorder=4,
            )  # fmt: skip
    chance = 100 / len(next(iter(audit.honest.scores.values())).classes)
    axes.axvline(chance, color=FAINT, linewidth=1.2, linestyle=":", zorder=1)
    axes.annotate(
        f"chance {chance:.0f}", (chance, -0.45), (0, 2), textcoords="offset points", ha="center", va="bottom",
        color=FAINT, fontsize=8.5,
    )  # fmt: skip
    axes.set_yticks(range(len(corpora)), corpora, color=INK, fontweight="bold")
    axes.set_ylim(len(corpora) - 0.5, -0.5)
    axes.set_xlim(0, 108)
    axes.set_xticks(np.arange(0, 101, 20))
    axes.set_xlabel("UAR, %", color=FAINT)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", colors=FAINT)
    bare(axes)
    set_titles(figure, title, notes, leaky=False)
    return figure
