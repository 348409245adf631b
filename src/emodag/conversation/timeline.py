"""What a conversation looks like once it is analysed: turns, and the emotion over the time of each.

Times are seconds from the start of the recording. Probabilities are calibrated and go over ``Timeline.classes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

#: Moments no further apart are one; s.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Feeling:
    """What was heard in a stretch of one speaker's speech."""

    start: float
    end: float
    probabilities: tuple[float, ...]  #: of each class, of sum 1
    emotion: str  #: the most probable class, or ``unknown`` where the model is not sure enough
    arousal: float  #: -1 (calm) to 1 (excited), expected under the probabilities
    valence: float  #: -1 (unpleasant) to 1 (pleasant)

    @property
    def confidence(self) -> float:
        """The probability of the most probable class."""
        return max(self.probabilities)


@dataclass(frozen=True)
class Turn:
    """A stretch in which one speaker speaks, between pauses or other speakers."""

    start: float
    end: float
    speaker: str
    overlap: float  #: seconds of it in which somebody else speaks too
    feeling: Feeling | None  #: of the whole turn; ``None`` where it is too short or too much spoken over
    windows: tuple[Feeling, ...] = ()  #: sliding windows of a long turn, smoothed over time; empty for a short one
    text: str = ""  #: what was said, where a transcript is known

    @property
    def stretches(self) -> tuple[Feeling, ...]:
        """The turn cut into what was heard when: windows, each up to half-way to the next, else the whole turn.

        None overlaps another, and none reaches beyond its window: where windows were left out because others speak
        over them, nothing was heard. Of a turn that was not judged, there is none.
        """
        if not self.windows:
            return () if self.feeling is None else (replace(self.feeling, start=self.start, end=self.end),)
        starts, ends = [each.start for each in self.windows], [each.end for each in self.windows]
        for number, (one, other) in enumerate(pairwise(self.windows)):
            if other.start <= one.end + _ROUNDING:
                ends[number] = starts[number + 1] = (one.start + one.end + other.start + other.end) / 4
        return tuple(
            replace(each, start=start, end=end) for each, start, end in zip(self.windows, starts, ends, strict=True)
        )

    @property
    def unjudged(self) -> tuple[tuple[float, float], ...]:
        """What of the turn is in none of its stretches, as (start, end)."""
        bounds = [self.start, *(time for each in self.stretches for time in (each.start, each.end)), self.end]
        spans = zip(bounds[::2], bounds[1::2], strict=True)
        return tuple((start, end) for start, end in spans if end - start > _ROUNDING)


@dataclass(frozen=True)
class TurningPoint:
    """A moment at which the emotion of a speaker changes for longer than one turn."""

    time: float
    speaker: str
    before: str
    after: str


@dataclass(frozen=True)
class Speaker:
    """One speaker's part, summed up."""

    name: str
    speech: float  #: s
    turns: int
    shares: dict[str, float]  #: emotion (``unknown`` included) -> share of the judged speech
    arousal: float | None  #: mean over the judged speech; ``None`` if nothing was judged
    valence: float | None


@dataclass(frozen=True)
class Timeline:
    """A recording, analysed."""

    recording: str  #: its file name
    duration: float
    classes: tuple[str, ...]
    turns: tuple[Turn, ...]  #: by start
    speakers: tuple[Speaker, ...]  #: in the order in which they first speak
    turning_points: tuple[TurningPoint, ...]
    notes: tuple[str, ...] = ()  #: for people: how it was made, what to mind
    #: What the probabilities come from: ``name`` of the family, ``adaptation`` (none, recording, speaker) and
    #: ``adapted_by`` (call, past, none), ``corpora`` (trained on), ``unknown`` (the threshold), ``protocol``, and
    #: ``scores``: corpus -> ``uar``, ``low`` and ``high`` of its interval where that is known, ``chance``, ``leaky``.
    model: dict[str, Any] = field(default_factory=dict)

    def probabilities(self) -> np.ndarray:
        """Of all judged turns, float64 [judged turns, classes]."""
        judged = [turn.feeling.probabilities for turn in self.turns if turn.feeling]
        return np.array(judged, np.float64).reshape(-1, len(self.classes))
