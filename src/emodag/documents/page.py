"""A report as one HTML file that needs nothing else: plain data in, a page out.

A :class:`Page` says what is told, ``templates/page.html`` and ``page.css`` how it looks. Pictures and sounds lie in the
file itself; it loads nothing, runs no script, and the same page gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from emodag.files import atomic_file
from emodag.plots import COLOURS

#: Beyond this share of its row, a cell of a confusion matrix is dark enough for light text.
_DARK = 0.55


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
    """A confusion matrix: int [classes, classes], truth in rows; classes that never occur are left out."""

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
            clips = int(self.counts[row].sum())
            cells = [
                {
                    "count": int(self.counts[row, column]),
                    "share": float(self.counts[row, column] / clips),
                    "dark": bool(self.counts[row, column] / clips > _DARK),
                    "right": row == column,
                }
                for column in wanted
            ]
            name = self.classes[row]
            rows.append({"emotion": name, "colour": COLOURS[name], "clips": clips, "cells": cells})
        return rows


@dataclass(frozen=True)
class Picture:
    """A picture as SVG (:func:`emodag.plots.svg`) or PNG."""

    kind: ClassVar[str] = "picture"
    title: str
    content: bytes
    description: str  #: what it shows, for those who do not see it
    caption: str = ""
    wide: bool = False

    @property
    def source(self) -> str:
        """The picture as a ``data:`` address."""
        return _data("image/png" if self.content.startswith(b"\x89PNG") else "image/svg+xml", self.content)


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
    leaky: bool = False


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    summary: str
    scores: tuple[Score, ...]
    facts: tuple[tuple[str, str], ...]  #: how it was made: what -> which
    sections: tuple[Section, ...]


def render(page: Page) -> str:
    """The page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("emodag.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html").render(page=page)


def write(path: str | Path, page: Page) -> None:
    """Write the page as HTML, atomically."""
    with atomic_file(path) as partial:
        partial.write_text(render(page), encoding="utf-8")


def percent(values: Sequence[float]) -> tuple[str, ...]:
    """Shares as text, in % with one digit."""
    return tuple(f"{value:.1%}" for value in values)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
