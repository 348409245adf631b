"""Maps of clips: who lies near whom, coloured by emotion, voice and corpus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emodag.plots.base import COLOURS, INK, literal, panels, set_titles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEGEND = 9  # labels that a legend can tell apart
_WIDTH = 3.5  # inches of a panel
_ROW, _MARK, _CHARACTER = 0.15, 0.24, 0.062  # inches that a row, a mark and a character of a legend take


def embedding_figure(
    places: np.ndarray, labels: Mapping[str, np.ndarray], *, title: str, notes: Sequence[str], leaky: bool = False
) -> Figure:
    """The same map once for each kind of label, with colours by it.

    Args:
        places: of the clips, [clips, 2].
        labels: what a panel is coloured by (``emotion``, ``speaker``, ...) -> the clips' labels, [clips].
        title: whose clips.
        notes: how the map was made.
        leaky: the title says so, in another colour.
    """
    from matplotlib.lines import Line2D

    shown = {kind: _short(sorted(set(map(str, of_clips)))) for kind, of_clips in labels.items()}
    side_by_side = {kind: _side_by_side(names.values()) for kind, names in shown.items()}
    few = [kind for kind, names in shown.items() if len(names) <= _LEGEND]
    rows = max((-(-len(shown[kind]) // side_by_side[kind]) for kind in few), default=0)
    below = 0.25 + _ROW * rows
    figure, axes = panels(len(labels), columns=len(labels), width=_WIDTH, height=_WIDTH, left=0.2, below=below)
    # Not corpus by corpus: whoever is drawn last would lie on top.
    order = np.random.default_rng(0).permutation(len(places))
    for panel, (kind, of_clips) in zip(axes, labels.items(), strict=True):
        of_clips = np.asarray(of_clips, str)
        names = [name for name in COLOURS if name in set(of_clips)] if kind == "emotion" else sorted(set(of_clips))
        colours = _colours(kind, names)
        panel.scatter(*places[order].T, s=11, c=[colours[name] for name in of_clips[order]], alpha=0.8, linewidths=0)
        few = len(names) <= _LEGEND
        panel.set_title(kind if few else f"{kind}: {len(names)} colours", loc="left", color=INK, fontweight="bold")
        if few:
            mark = {"marker": "o", "linestyle": "", "markersize": 4.5}
            marks = [Line2D([], [], color=colours[name], label=literal(shown[kind][name]), **mark) for name in names]
            panel.legend(
                handles=marks, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=side_by_side[kind], fontsize=7.5,
                frameon=False,
                handletextpad=0.1, columnspacing=0.9,
            )  # fmt: skip
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_color("#e3e6eb")
    set_titles(figure, title, notes, leaky)
    return figure


def _short(names: Sequence[str]) -> dict[str, str]:
    """Names as a legend has room for them: without the corpus where all are of one."""
    corpora = {name.split("/")[0] for name in names}
    one = len(corpora) == 1 and all("/" in name for name in names)
    return {name: name.split("/", 1)[1] if one else name for name in names}


def _side_by_side(names: Iterable[str]) -> int:
    """How many names a row of a legend has room for."""
    return max(1, min(5, int(_WIDTH / (_MARK + _CHARACTER * max(map(len, names))))))


def _colours(kind: str, names: Sequence[str]) -> dict[str, str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if kind == "emotion":
        return {name: COLOURS[name] for name in names}
    if len(names) <= _LEGEND:
        palette = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c00", "#5b4b8a", "#777777")
        return dict(zip(names, palette, strict=False))
    shades = colormaps["turbo"](np.linspace(0.03, 0.97, len(names)))
    return {name: to_hex(shade) for name, shade in zip(names, shades, strict=True)}
