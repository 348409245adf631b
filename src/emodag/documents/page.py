"""A report as one HTML file that needs nothing else: plain data in, a page out.

A :class:`Page` says what is told, ``templates/page.html`` and ``page.css`` how it looks. Pictures and sounds lie in the
file itself; it loads nothing, runs no script, and the same page gives the same bytes.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emodag.files import atomic_file
from emodag.plots import COLOURS, number

if TYPE_CHECKING:
    from jinja2 import Environment

#: Beyond this share of its row, a cell of a confusion matrix is dark enough for light text.
_DARK = 0.55

#: Wider pictures take the whole width of the page, and the widest leave no room for a caption beside them; inches.
_HALF, _WHOLE = 6.8, 9.0

#: Of an SVG within a page: facts about the file, comments, sizes that the page sets, and names that would be there
#: twice. Those that are left name shapes by what they look like, so that equal names are equal shapes.
_NEEDLESS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"<metadata>.*?</metadata>\s*",
        r"<style[^>]*>.*?</style>\s*",
        r"<!--.*?-->\s*",
        r"(?<=<svg)[^>]*?(?= viewBox)",
        r' id="[A-Za-z0-9.]+_\d+"',
    )
)


@dataclass(frozen=True)
class Score:
    """One corpus's UAR, for the head of the page."""

    corpus: str
    key: str  #: of the section that tells more
    protocol: str
    meaning: str  #: what the protocol says about new voices, in a sentence
    uar: float
    low: float  #: of the interval
    high: float
    chance: float
    interval: str  #: what the interval is, as ``95 % interval over speakers``
    notes: tuple[str, ...]  #: clips, speakers, classes
    leaky: bool = False


@dataclass(frozen=True)
class Recalls:
    """The recall of each emotion with its interval, as bars."""

    kind: ClassVar[str] = "recalls"
    wide: ClassVar[bool] = False
    title: str
    emotions: tuple[str, ...]
    recall: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    support: tuple[int, ...]  #: clips of each
    uar: float
    chance: float

    @property
    def rows(self) -> list[dict]:
        """What the template draws of each emotion, in %."""
        return [
            {
                "emotion": emotion,
                "colour": COLOURS[emotion],
                "recall": 100 * recall,
                "low": 100 * low,
                "width": 100 * (high - low),
                "support": support,
                "told": f"{emotion}: {recall:.0%} of {support} clips, interval {low:.0%} to {high:.0%}",
            }
            for emotion, recall, (low, high), support in zip(
                self.emotions, self.recall, self.intervals, self.support, strict=True
            )
        ]


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix in clips, or means over seeds: [classes, classes], truth in rows; classes that never occur are
    left out."""

    kind: ClassVar[str] = "confusion"
    wide: ClassVar[bool] = False
    title: str
    classes: tuple[str, ...]
    counts: np.ndarray

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The emotions that were spoken or predicted, with their colours."""
        occurring = np.flatnonzero(self.counts.sum(axis=0) + self.counts.sum(axis=1))
        return [(self.classes[column], COLOURS[self.classes[column]]) for column in occurring]

    @property
    def rows(self) -> list[dict]:
        """The emotions that were spoken, each with its cells."""
        rows = []
        wanted = [self.classes.index(name) for name, _ in self.columns]
        for row in np.flatnonzero(self.counts.sum(axis=1)):
            clips = self.counts[row].sum()
            cells = [
                {
                    "count": number(self.counts[row, column]) if self.counts[row, column] else "",
                    "share": float(self.counts[row, column] / clips),
                    "dark": bool(self.counts[row, column] / clips > _DARK),
                    "right": row == column,
                }
                for column in wanted
            ]
            name = self.classes[row]
            rows.append({"emotion": name, "colour": COLOURS[name], "clips": number(clips), "cells": cells})
        return rows


@dataclass(frozen=True)
class Picture:
    """A picture, as :func:`emodag.plots.svg` makes it; dark ink and white ground follow the page's colours."""

    kind: ClassVar[str] = "picture"
    title: str
    svg: bytes
    description: str  #: what it shows, for those who do not see it
    width: float  #: at which it was drawn; inches
    caption: str = ""
    on_white: bool = False  #: where ink lies on coloured ground, so that neither may follow

    @property
    def wide(self) -> bool:
        """Whether it could not be read in half of the page's width."""
        return self.width > _HALF

    @property
    def beside(self) -> bool:
        """Whether its caption stands beside it where the page is wide."""
        return bool(self.caption) and _HALF < self.width <= _WHOLE

    @property
    def drawing(self) -> str:
        """What is drawn, without what only a file of its own needs."""
        text = self.svg.decode("utf-8")
        text = text[text.index("<svg") :]
        for needless in _NEEDLESS:
            text = needless.sub("", text)
        return text


@dataclass(frozen=True)
class Table:
    """A table; numbers stand to the right."""

    kind: ClassVar[str] = "table"
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    caption: str = ""
    flagged: frozenset[int] = frozenset()  #: rows that are marked
    wide: bool = False


@dataclass(frozen=True)
class Example:
    """A clip to listen to."""

    clip: str
    speaker: str
    spoken: str
    predicted: str
    probability: float  #: calibrated, of what was predicted
    of_spoken: float  #: calibrated, of what was spoken
    audio: bytes  #: FLAC
    note: str = ""

    @property
    def source(self) -> str:
        """The sound as a ``data:`` address."""
        return _data("audio/flac", self.audio)

    @property
    def colours(self) -> tuple[str, str]:
        """Of the spoken and of the predicted emotion."""
        return COLOURS[self.spoken], COLOURS[self.predicted]


@dataclass(frozen=True)
class Examples:
    """Clips to listen to."""

    kind: ClassVar[str] = "examples"
    title: str
    clips: tuple[Example, ...]
    caption: str = ""
    wide: ClassVar[bool] = True


@dataclass(frozen=True)
class Text:
    """Paragraphs, or a list."""

    kind: ClassVar[str] = "text"
    title: str
    lines: tuple[str, ...]
    listed: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Code:
    """What is typed or copied as it stands: commands, references."""

    kind: ClassVar[str] = "code"
    title: str
    lines: tuple[str, ...]
    wide: bool = False


Block = Recalls | Confusion | Picture | Table | Examples | Text | Code


@dataclass(frozen=True)
class Section:
    """A part of the page that can be linked to."""

    key: str  #: the fragment of its address
    title: str
    lead: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()  #: under which policies, on how much
    leaky: bool = False


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    summary: str
    scores: tuple[Score, ...]
    facts: tuple[tuple[str, str], ...]  #: how it was made: what -> which
    sections: tuple[Section, ...]


def environment() -> Environment:
    """Where templates come from; those of HTML escape what they are given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader("emodag.documents"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(page: Page) -> str:
    """The page as HTML."""
    return environment().get_template("page.html").render(page=page)


def write(path: str | Path, page: Page) -> None:
    """Write the page as HTML, atomically."""
    with atomic_file(path) as partial:
        partial.write_text(render(page), encoding="utf-8")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
