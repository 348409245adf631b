"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.plots.base import FAINT, INK, panels, set_titles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FOLD, _MEAN = "#9db7d5", "#2f66a8"
_COLUMNS = 3


def learning_figure(curves: pd.DataFrame, *, title: str, notes: Sequence[str], leaky: bool = False) -> Figure:
    """Every measure of training by epoch: a faint line for each fold and seed, a strong one for the mean.

    The mean goes as far as all of them got, since those that stopped early are not like the others.

    Args:
        curves: by :data:`emodag.schema.CURVES`, of one measure at least.
        title: what was trained.
        notes: how.
        leaky: the title says so, in another colour.
    """
    measures = list(dict.fromkeys(curves["measure"]))
    figure, places = panels(len(measures), columns=min(_COLUMNS, len(measures)), width=3.0, height=1.9, left=0.7)
    for axes, measure in zip(places, measures, strict=True):
        rows = curves[curves["measure"] == measure]
        for _, one in rows.groupby(["seed", "fold"], sort=True):
            axes.plot(one["epoch"], one["value"], color=_FOLD, linewidth=0.9)
        by_epoch = rows.groupby("epoch")["value"].agg(["mean", "size"])
        common = by_epoch[by_epoch["size"] == by_epoch["size"].max()]
        axes.plot(common.index, common["mean"], color=_MEAN, linewidth=2)
        _dress(axes, measure, rows)
    set_titles(figure, title, notes, leaky)
    return figure


def _dress(axes: Axes, measure: str, rows: pd.DataFrame) -> None:
    axes.set_title(measure.replace("_", " "), loc="left", fontsize=9.5, color=INK, fontweight="bold")
    axes.set_xlim(1, max(2, rows["epoch"].max()))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#d1d5db")
    axes.grid(True, color="#eceef1")
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=FAINT, labelsize=8)
    axes.set_xlabel("epoch", color=FAINT, fontsize=8)
    values = rows["value"].to_numpy()
    # A loss that falls by decades shows its end only so.
    if values.min() > 0 and values.max() > 30 * np.median(values):
        axes.set_yscale("log")
