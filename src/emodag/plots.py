"""The pictures that people look at, drawn alike: one colour per emotion, every title with its protocol and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from emodag.labels import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The colour of each emotion, everywhere.
COLOURS: Mapping[str, str] = MappingProxyType(
    dict(
        zip(
            EMOTIONS,
            ("#8a8f98", "#4fb3a5", "#d9a300", "#3f78b5", "#c93a3a", "#7d5ba6", "#6a9a3b", "#ef8636", "#8a6a4f"),
            strict=True,
        )
    )
)

INK, FAINT, ALARM = "#22262e", "#6b7280", "#b3261e"
_DPI = 160
_HEADER, _MARGIN = 1.25, 0.2  # inches
_NOTE_CHARACTERS_PER_INCH = 15


def confusion_figure(
    confusion: np.ndarray, classes: Sequence[str], *, title: str, notes: Sequence[str], leaky: bool = False
) -> Figure:
    """A confusion matrix, each row as shares of the clips of that emotion, with the counts.

    Args:
        confusion: int [classes, classes], truth in rows. Rows without clips and columns never predicted are left out.
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

    figure, axes = _figure(max(0.86 * len(columns), 4.2), 0.66 * len(rows), left=1.75)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(len(rows)):
        for column in range(len(columns)):
            if counts[row, column] == 0:
                continue
            share = shares[row, column]
            ink = "white" if share > 0.55 else INK
            axes.text(column, row - 0.1, f"{share:.0%}", ha="center", va="center", color=ink, fontsize=10.5)
            axes.text(column, row + 0.24, f"{counts[row, column]}", ha="center", va="center", color=ink, fontsize=7.5)
    axes.set_xticks(range(len(columns)), [classes[column] for column in columns])
    axes.set_yticks(range(len(rows)), [f"{classes[i]}  ({n})" for i, n in zip(rows, support, strict=True)])
    for label, column in zip(axes.get_xticklabels(), columns, strict=True):
        label.set_color(COLOURS[classes[column]])
        label.set_fontweight("bold")
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS[classes[row]])
        label.set_fontweight("bold")
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("spoken (clips)", color=FAINT)
    _titles(figure, title, notes, leaky)
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
    figure, axes = _figure(6.4, 0.5 * len(classes), left=1.2)
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
    _bare(axes)
    _titles(figure, title, notes, leaky)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    figure.savefig(path, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})


def _figure(width: float, height: float, *, left: float) -> tuple[Figure, Axes]:
    """A figure with axes of ``width`` x ``height`` inches, a header above and ``left`` inches for labels."""
    # Not pyplot: it keeps every figure alive and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    right, bottom = 0.35, 0.65
    whole = left + width + right, _HEADER + height + bottom
    figure = Figure(figsize=whole)
    FigureCanvasAgg(figure)
    return figure, figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))


def _titles(figure: Figure, title: str, notes: Sequence[str], leaky: bool) -> None:
    """The title, and the notes in as many lines as the figure's width asks for."""
    width, height = figure.get_size_inches()
    lines = [""]
    for note in notes:
        longer = f"{lines[-1]} · {note}" if lines[-1] else note
        if len(longer) <= _NOTE_CHARACTERS_PER_INCH * (width - 2 * _MARGIN):
            lines[-1] = longer
        else:
            lines.append(note)
    text = {"x": _MARGIN / width, "ha": "left", "va": "top"}
    title = f"LEAKY: {title}" if leaky else title
    figure.text(y=1 - 0.18 / height, s=title, color=ALARM if leaky else INK, fontsize=12, fontweight="bold", **text)
    figure.text(y=1 - 0.46 / height, s="\n".join(lines), color=FAINT, fontsize=8, linespacing=1.45, **text)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#d1d5db")
    axes.xaxis.grid(True, color="#eceef1", zorder=0)
    axes.set_axisbelow(True)
