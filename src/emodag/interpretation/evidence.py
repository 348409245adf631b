"""What an interpretation rests on: a timeline, condensed to what can be told of it.

Both texts, that which is made here and that of a language model, are written from this and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from emodag.conversation.affect import affect
from emodag.conversation.telling import context, finding, likely
from emodag.conversation.timeline import Feeling, Speaker, Timeline, Turn, TurningPoint
from emodag.interpretation.sentiment import Accord, accord, reads, sentiment
from emodag.labels import UNKNOWN
from emodag.params import Interpret

#: ``none``: no words are known; ``other_language``: the lexicon cannot read them; ``read``: they were looked at.
Words = Literal["none", "other_language", "read"]

_LEAST_COURSE = 3  # stretches of judged speech, else thirds of it mean nothing
PLAIN = ("neutral", "calm", UNKNOWN)  #: what is no emotion that stands out


@dataclass(frozen=True)
class Moment:
    """A turn that was judged."""

    start: float  #: s
    end: float  #: s
    speaker: str
    emotion: str  #: or ``unknown``
    confidence: float  #: of the most probable class
    arousal: float  #: -1 to 1
    valence: float  #: -1 to 1
    text: str  #: what is said in it; empty where that is not known
    sentiment: float | None  #: of the words, -1 to 1; None where they were not looked at
    accord: Accord | None  #: of voice and words; None where they were not looked at


@dataclass(frozen=True)
class Course:
    """How arousal and valence change over what a speaker says: their means in its first and its last third."""

    arousal: tuple[float, float]
    valence: tuple[float, float]


@dataclass(frozen=True)
class Voice:
    """One speaker."""

    name: str
    speech: float  #: s
    turns: int
    unjudged: int  #: turns that are too short or too much spoken over
    shares: dict[str, float]  #: emotion (``unknown`` included) -> share of the judged speech, largest first
    arousal: float | None  #: mean; ``None`` if nothing was judged
    valence: float | None
    course: Course | None  #: None where too little was judged
    agreements: int  #: turns in which voice and words point the same way
    conflicts: int  #: and opposite ways


@dataclass(frozen=True)
class Evidence:
    """All that an interpretation may use."""

    recording: str
    duration: float  #: s
    finding: str
    probabilities: dict[str, float]  #: of a recording of one judged turn, most probable first; else empty
    voices: tuple[Voice, ...]
    turning_points: tuple[TurningPoint, ...]
    moments: tuple[Moment, ...]  #: judged turns, by start
    unjudged: float  #: s of turns that were not judged
    words: Words
    notes: tuple[str, ...]  #: of the timeline
    context: tuple[str, ...]  #: the model and its scores


def clip(
    recording: str,
    duration: float,
    classes: Sequence[str],
    probabilities: Sequence[float],
    emotion: str,
    text: str = "",
    notes: Sequence[str] = (),
    model: dict[str, Any] | None = None,
) -> Timeline:
    """A recording that was judged as a whole, as a timeline of one turn.

    Args:
        recording: its file name.
        duration: s.
        classes: of the model.
        probabilities: calibrated, one for each class.
        emotion: what is told of it, which may be ``unknown``.
        text: what is said.
        notes: for people.
        model: as :attr:`emodag.conversation.timeline.Timeline.model`.
    """
    valence, arousal = affect(np.asarray(probabilities), classes)
    feeling = Feeling(0.0, duration, tuple(map(float, probabilities)), emotion, float(arousal), float(valence))
    turn = Turn(0.0, duration, "voice", 0.0, feeling, text=text)
    speaker = Speaker("voice", duration, 1, {emotion: 1.0}, feeling.arousal, feeling.valence)
    return Timeline(recording, duration, tuple(classes), (turn,), (speaker,), (), tuple(notes), model or {})


def evidence(timeline: Timeline, settings: Interpret, language: str) -> Evidence:
    """Condense a timeline.

    Args:
        timeline: with words in its turns, where they are known.
        settings: what counts as a change, as pleasant, as positive.
        language: of the words, as ``en-US``.
    """
    spoken = any(turn.text for turn in timeline.turns)
    words: Words = "none" if not spoken else "read" if reads(language) else "other_language"
    moments = tuple(
        _moment(turn, turn.feeling, settings, words == "read")
        for turn in sorted(timeline.turns, key=lambda turn: turn.start)
        if turn.feeling is not None
    )
    alone = len(timeline.turns) == 1 and len(moments) == 1
    only = timeline.turns[0].feeling if alone else None
    return Evidence(
        recording=timeline.recording,
        duration=timeline.duration,
        finding=finding(timeline),
        probabilities=dict(likely(timeline.classes, only.probabilities)) if only else {},
        voices=tuple(_voice(speaker, timeline.turns, moments) for speaker in timeline.speakers),
        turning_points=timeline.turning_points,
        moments=moments,
        unjudged=sum(end - start for turn in timeline.turns for start, end in turn.unjudged),
        words=words,
        notes=timeline.notes,
        context=tuple(context(timeline)),
    )


def _moment(turn: Turn, feeling: Feeling, settings: Interpret, read: bool) -> Moment:
    score = sentiment(turn.text) if read and turn.text else None
    return Moment(
        turn.start,
        turn.end,
        turn.speaker,
        feeling.emotion,
        feeling.confidence,
        feeling.arousal,
        feeling.valence,
        turn.text,
        score,
        None if score is None else accord(feeling, score, settings),
    )


def _voice(speaker: Speaker, turns: Sequence[Turn], moments: Sequence[Moment]) -> Voice:
    own = [turn for turn in turns if turn.speaker == speaker.name]
    heard = [moment.accord for moment in moments if moment.speaker == speaker.name]
    return Voice(
        name=speaker.name,
        speech=speaker.speech,
        turns=speaker.turns,
        unjudged=sum(turn.feeling is None for turn in own),
        shares=speaker.shares,
        arousal=speaker.arousal,
        valence=speaker.valence,
        course=course([part for turn in own for part in turn.stretches]),
        agreements=heard.count("agree"),
        conflicts=heard.count("conflict"),
    )


def course(stretches: Sequence[Feeling]) -> Course | None:
    """Mean arousal and valence in the first and the last third of speech, by its duration; None of too little."""
    if len(stretches) < _LEAST_COURSE:
        return None
    seconds = np.array([each.end - each.start for each in stretches])
    ends = np.cumsum(seconds)
    third = ends[-1] / 3
    # How much of each stretch lies in the first third of the speech, and how much in the last.
    first = np.clip(third - (ends - seconds), 0, seconds)
    last = np.clip(ends - 2 * third, 0, seconds)
    arousal, valence = (np.array([getattr(each, name) for each in stretches]) for name in ("arousal", "valence"))

    def means(values: np.ndarray) -> tuple[float, float]:
        return float(np.average(values, weights=first)), float(np.average(values, weights=last))

    return Course(means(arousal), means(valence))


def telling(moments: Sequence[Moment], most: int) -> list[Moment]:
    """The moments that say most, by start: conflicts of voice and words first, then the surest of an emotion."""
    ranked = sorted(
        moments, key=lambda each: (each.accord != "conflict", each.emotion in PLAIN, -each.confidence, each.start)
    )
    return sorted(ranked[:most], key=lambda each: each.start)


def condensed(evidence: Evidence, lines: int) -> dict[str, Any]:
    """The evidence as compact JSON, of bounded size however long the recording: numbers rounded, moments chosen.

    Args:
        evidence: all of it.
        lines: how many moments, and how many turning points, are told.
    """
    content = asdict(evidence)
    content["moments"] = [asdict(each) for each in telling(evidence.moments, lines)]
    content["moments_in_all"] = len(evidence.moments)
    content["turning_points"] = content["turning_points"][:lines]
    content["turning_points_in_all"] = len(evidence.turning_points)
    return _rounded(content)


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    return round(content, 2) if isinstance(content, float) else content
