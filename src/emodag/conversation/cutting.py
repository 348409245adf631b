"""What of a conversation is judged: turns, and windows of long ones.

A turn is what one speaker says between pauses or other speakers. One that is longer than a window is judged in windows
that overlap, because an emotion may change within it and because the models were trained on sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyannote.core import Annotation

    from emodag.params import Analyze

#: Segments that share less are neighbours, and what they share is rounding; s.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Stretch:
    """A part of a recording in which one speaker speaks."""

    speaker: str
    start: float  #: s
    end: float  #: s
    overlap: float  #: s of it in which somebody else speaks too
    share: float = 1.0  #: of it that the next stretch does not hear again

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.end - self.start


def parts_of(annotation: Annotation, settings: Analyze, *, apart: bool) -> tuple[list[Stretch], list[list[Stretch]]]:
    """The turns of a conversation by start, and what of each is judged: all of it, windows, or nothing.

    Args:
        annotation: who speaks when, s.
        settings: the section ``analyze`` of the params.
        apart: whether each speaker has a channel, in which nobody else is heard.
    """
    others = others_than(annotation)
    turns = turns_in(annotation, others, settings.pause)
    return turns, [_parts(turn, others[turn.speaker], settings, apart=apart) for turn in turns]


@dataclass(frozen=True)
class Others:
    """When anybody but a certain speaker speaks: disjoint segments in order, s, float64 [segments] each."""

    starts: np.ndarray
    ends: np.ndarray

    def between(self, start: float, end: float) -> float:
        """For how long they speak between two moments, s.

        pyannote.core's ``crop`` looks at every segment each time: for all turns of three hours, that is minutes.
        """
        near = slice(np.searchsorted(self.ends, start, side="right"), np.searchsorted(self.starts, end))
        shared = np.minimum(self.ends[near], end) - np.maximum(self.starts[near], start)
        return sum(shared[shared > _ROUNDING].tolist())


def others_than(annotation: Annotation) -> dict[str, Others]:
    """When anybody else speaks, for each speaker."""
    found = {}
    for label in annotation.labels():
        timeline = annotation.subset([label], invert=True).get_timeline().support()
        bounds = np.array([(segment.start, segment.end) for segment in timeline], np.float64).reshape(-1, 2)
        found[label] = Others(*bounds.T)
    return found


def turns_in(annotation: Annotation, others: Mapping[str, Others], pause: float) -> list[Stretch]:
    """The turns of an annotation, by start, then end.

    Args:
        annotation: who speaks when, s.
        others: by :func:`others_than`.
        pause: what a speaker says before and after a shorter one (s) is one turn, unless others speak in it.
    """
    from pyannote.core import Segment

    found = []
    for speaker in annotation.labels():
        merged: list[Segment] = []
        for segment in annotation.label_timeline(speaker).support():
            gap = Segment(merged[-1].end, segment.start) if merged else None
            if gap is not None and gap.duration < pause and not others[speaker].between(gap.start, gap.end):
                merged[-1] = merged[-1] | segment
            else:
                merged.append(segment)
        found += [_stretch(speaker, each.start, each.end, others[speaker]) for each in merged]
    return sorted(found, key=lambda each: (each.start, each.end))


def _stretch(speaker: str, start: float, end: float, others: Others) -> Stretch:
    return Stretch(speaker, start, end, others.between(start, end))


def _parts(turn: Stretch, others: Others, settings: Analyze, *, apart: bool) -> list[Stretch]:
    """What of a turn is given to the model: all of it, or windows; less what is too short or belongs to others too."""
    if turn.duration < settings.shortest:
        return []
    parts = [turn] if turn.duration <= settings.window else windows_of(turn, others, settings.window, settings.hop)
    return parts if apart else [part for part in parts if part.overlap <= settings.overlap * part.duration]


def windows_of(turn: Stretch, others: Others, window: float, hop: float) -> list[Stretch]:
    """Windows over a turn that is longer than one, evenly apart, by at most ``hop``; the last one ends with it."""
    count = 1 + int(np.ceil((turn.duration - window) / hop))
    starts = np.linspace(turn.start, turn.end - window, count).tolist()
    share = min(1.0, (starts[1] - starts[0]) / window)
    return [replace(_stretch(turn.speaker, start, start + window, others), share=share) for start in starts]
