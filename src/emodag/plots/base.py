"""The look that all pictures share: one colour per emotion, titles with protocol and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from emodag.errors import DataError
from emodag.files import atomic_file
from emodag.labels import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

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
_ABOVE = 0.35  # inches of the header that labels of the axes may take
_NOTE_CHARACTERS_PER_INCH = 15


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    figure.savefig(path, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})


def save_into(folder: Path, figures: Mapping[str, Figure], stale: str) -> None:
    """Write figures by their file names, each whole or not at all; other files that the pattern ``stale`` fits go.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        for name, figure in figures.items():
            with atomic_file(folder / name) as path:
                save(figure, path)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}") from None
    for path in folder.glob(stale):
        if path.name not in figures:
            path.unlink()


def svg(figure: Figure, *, header: bool = True) -> bytes:
    """A figure as SVG on no ground, its text as outlines; the same figure gives the same bytes.

    Without ``header``, what :func:`set_titles` wrote and its room are left out: it stands beside the figure already.
    """
    from matplotlib import rc_context
    from matplotlib.transforms import Bbox

    content, options = BytesIO(), {"metadata": {"Date": None, "Creator": None}}
    width, height = figure.get_size_inches()
    if not header:
        options["bbox_inches"] = Bbox.from_extents(0, 0, width, height - _HEADER + _ABOVE)
    for text in figure.texts:
        text.set_visible(header)
    with rc_context({"svg.hashsalt": "emodag", "svg.fonttype": "path"}):
        figure.savefig(content, format="svg", dpi=_DPI, transparent=True, **options)
    return content.getvalue()


def figure_with_axes(width: float, height: float, *, left: float) -> tuple[Figure, Axes]:
    """A figure with axes of ``width`` x ``height`` inches, a header above and ``left`` inches for labels."""
    # Not pyplot: it keeps every figure alive and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    right, bottom = 0.35, 0.65
    whole = left + width + right, _HEADER + height + bottom
    figure = Figure(figsize=whole)
    FigureCanvasAgg(figure)
    return figure, figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))


def panels(
    count: int, *, columns: int, width: float, height: float, left: float, below: float = 0.65
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` axes of ``width`` x ``height`` inches, row by row, under one header.

    Args:
        count: of axes.
        columns: how many stand side by side.
        width: of each; inches.
        height: of each; inches.
        left: of each, for its labels; inches.
        below: of each, for its labels; inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, between, right = -(-count // columns), 0.3, 0.25
    whole = columns * (left + width) + right, _HEADER + rows * (height + below) + (rows - 1) * between
    figure = Figure(figsize=whole)
    FigureCanvasAgg(figure)
    made = []
    for number in range(count):
        row, column = divmod(number, columns)
        corner = left + column * (left + width), whole[1] - _HEADER - (row + 1) * height - row * (below + between)
        made.append(figure.add_axes((corner[0] / whole[0], corner[1] / whole[1], width / whole[0], height / whole[1])))
    return figure, made


def number(count: float) -> str:
    """A count, or a mean of counts: ``24``, ``23.7``."""
    return f"{count:.1f}".removesuffix(".0")


def literal(text: str) -> str:
    """Text that Matplotlib draws as it is: a name with dollar signs is no formula."""
    return text.replace("$", r"\$")


def set_titles(figure: Figure, title: str, notes: Sequence[str], leaky: bool) -> None:
    """The title, as large as the figure's width allows, and the notes in as many lines as it asks for.

    Dollar signs make no formula.
    """
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
    written = figure.text(
        y=1 - 0.18 / height, s=literal(title), color=ALARM if leaky else INK, fontsize=12, fontweight="bold", **text
    )
    room = (width - 2 * _MARGIN) * figure.dpi
    written.set_fontsize(12 * min(1.0, room / max(1.0, written.get_window_extent().width)))
    figure.text(y=1 - 0.46 / height, s=literal("\n".join(lines)), color=FAINT, fontsize=8, linespacing=1.45, **text)


def keep_within(axes: Axes, note: Annotation) -> None:
    """Move an annotation sideways as far as it takes to stand above or below the axes, not beside them."""
    wide, room = note.get_window_extent(), axes.get_window_extent()
    pixels = max(0.0, room.x0 - wide.x0) - max(0.0, wide.x1 - room.x1)
    right, up = note.xyann
    note.xyann = (right + 72 * pixels / axes.figure.dpi, up)


def as_cells(axes: Axes, rows: int, columns: int) -> None:
    """White lines between the cells of a picture of ``rows`` x ``columns``, and nothing around it."""
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def bare(axes: Axes) -> None:
    """Nothing around the axes but the line below, and faint vertical lines."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#d1d5db")
    axes.xaxis.grid(True, color="#eceef1", zorder=0)
    axes.set_axisbelow(True)
