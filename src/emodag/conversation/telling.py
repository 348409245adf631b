"""A timeline told to people: the finding in words, how sure it is, and a coarse view of what is long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emodag.conversation.timeline import Feeling, Speaker, Timeline, Turn, TurningPoint
from emodag.corpora.demo import CORPORA as SYNTHETIC
from emodag.labels import UNKNOWN, in_order

UNJUDGED = "not judged"  #: what is said of turns without a feeling

_LONGEST_NAME = 28
_LONGEST_FINDING = 108  # characters: what fits into a line of a slide
_CALM = ("neutral", "calm", UNKNOWN)

#: How strong the colour of what is no better than chance still is: it must remain visible.
_WEAKEST = 0.3

_ADAPTED = {
    "none": "not adapted to voices",
    "recording": "adapted to each recording",
    "speaker": "adapted to each voice",
}

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # s, between which people count
_COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def clock(seconds: float) -> str:
    """A moment as ``m:ss``, from an hour on as ``h:mm:ss``; parts of a second are cut off."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def step(least: float) -> float:
    """The shortest step between which people count that is no shorter than ``least``; s."""
    return next((each for each in _STEPS if each >= least), least)


def shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    """A name in one line of at most so many characters."""
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def counted(number: int, thing: str) -> str:
    """``Two speakers``, ``One turn``, ``12 turns``."""
    told = _COUNTS[number] if number < len(_COUNTS) else str(number)
    return f"{told} {thing}{'' if number == 1 else 's'}"


def likely(classes: Sequence[str], probabilities: Sequence[float]) -> list[tuple[str, float]]:
    """The classes with their probabilities, the most probable first."""
    return sorted(zip(classes, probabilities, strict=True), key=lambda each: -each[1])


def strength(feeling: Feeling) -> float:
    """How strong its colour is shown: 0.3 where it is no surer than chance, 1 where it is certain."""
    chance = 1 / len(feeling.probabilities)
    if chance == 1:
        return 1.0
    return _WEAKEST + (1 - _WEAKEST) * float(np.clip((feeling.confidence - chance) / (1 - chance), 0, 1))


def spans(turn: Turn) -> list[tuple[float, float, str, float]]:
    """What is shown of a turn: start and end (s), the emotion or :data:`UNJUDGED`, and its :func:`strength`."""
    heard = [(each.start, each.end, each.emotion, strength(each)) for each in turn.stretches]
    return heard + [(start, end, UNJUDGED, 1.0) for start, end in turn.unjudged]


def kinds(timeline: Timeline) -> tuple[str, ...]:
    """What is shown of turns and windows: emotions in their order, then :data:`UNKNOWN` and :data:`UNJUDGED`."""
    heard = {each.emotion for turn in timeline.turns for each in (*turn.stretches, turn.feeling) if each is not None}
    unknown = (UNKNOWN,) if UNKNOWN in heard else ()
    unjudged = (UNJUDGED,) if any(turn.unjudged for turn in timeline.turns) else ()
    return (*in_order(heard - {UNKNOWN}), *unknown, *unjudged)


def overlaps(turns: Sequence[Turn], speaker: str) -> list[tuple[float, float]]:
    """Where a speaker speaks at the same time as another, as (start, end) in s, in order."""
    own = [turn for turn in turns if turn.speaker == speaker]
    spans = sorted(
        (max(turn.start, other.start), min(turn.end, other.end))
        for turn in own
        for other in turns
        if other.speaker != speaker and other.start < turn.end and turn.start < other.end
    )
    found: list[tuple[float, float]] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


class Curve(NamedTuple):
    """Arousal and valence of a speaker over time; NaN where nothing is heard of them for long."""

    times: np.ndarray  #: s, float64 [points]
    arousal: np.ndarray  #: -1 to 1, float64 [points]
    valence: np.ndarray  #: -1 to 1, float64 [points]
    width: float  #: s, the standard deviation of the Gaussian that smooths


def curve(timeline: Timeline, speaker: str, points: int) -> Curve:
    """Arousal and valence of one speaker, smoothed by a Gaussian as wide as three points, and no less than a second.

    A kernel regression (Nadaraya 1964, Watson 1964) over the stretches of the speaker's turns, each with the weight of
    its duration, so that windows that share sound count once. Silences of up to six standard deviations are bridged;
    in longer ones there is no value. Points are evenly spaced over the recording.
    """
    heard = [each for turn in timeline.turns if turn.speaker == speaker for each in turn.stretches]
    times = np.linspace(0, timeline.duration, points)
    width = max(1.0, 3 * timeline.duration / points)
    if not heard:
        nothing = np.full(points, np.nan)
        return Curve(times, nothing, nothing, width)
    starts, ends = np.array([each.start for each in heard]), np.array([each.end for each in heard])
    # Within a stretch the distance is zero: a long one holds as far as it reaches.
    until, since = starts - times[:, None], times[:, None] - ends
    distance = np.maximum(0, np.maximum(until, since))
    weights = (ends - starts) * np.exp(-0.5 * (distance / width) ** 2)
    before = np.where(since >= 0, since, np.inf).min(axis=1)
    after = np.where(until >= 0, until, np.inf).min(axis=1)
    away = distance.min(axis=1) > times[1] / 2
    weights[away & (before + after > 6 * width)] = np.nan
    weights /= weights.sum(axis=1, keepdims=True)
    arousal, valence = (weights @ np.array([getattr(each, name) for each in heard]) for name in ("arousal", "valence"))
    return Curve(times, arousal, valence, width)


class Coarse(NamedTuple):
    """How long a speaker was heard to speak in which way, in equal parts of the recording."""

    length: float  #: s, of a part
    kinds: tuple[str, ...]  #: the classes, :data:`UNKNOWN` and :data:`UNJUDGED`
    seconds: np.ndarray  #: float64 [parts, kinds]
    strengths: np.ndarray  #: mean :func:`strength`, float64 [parts, kinds]; 0 where nothing was heard


def coarse(timeline: Timeline, speaker: str, length: float) -> Coarse:
    """The turns of one speaker in parts of ``length`` seconds, the last of which may reach beyond the end."""
    kinds = (*timeline.classes, UNKNOWN, UNJUDGED)
    parts = max(1, int(np.ceil(timeline.duration / length)))
    seconds, strengths = np.zeros((2, parts, len(kinds)))
    for turn in timeline.turns:
        if turn.speaker != speaker:
            continue
        for start, end, emotion, strong in spans(turn):
            kind = kinds.index(emotion)
            for part in range(int(start // length), min(parts - 1, int(end // length)) + 1):
                within = max(0.0, min(end, (part + 1) * length) - max(start, part * length))
                seconds[part, kind] += within
                strengths[part, kind] += strong * within
    return Coarse(length, kinds, seconds, np.divide(strengths, seconds, where=seconds > 0, out=strengths))


def mood(speaker: Speaker) -> str:
    """What a speaker sounds like, as ``mostly angry (62%)``; empty if nothing was judged."""
    if not any(speaker.shares.values()):
        return ""
    share = f"{max(speaker.shares.values()):.0%}"
    # Those that are told with the same share.
    first = [
        "unclear" if emotion == UNKNOWN else emotion for emotion, its in speaker.shares.items() if f"{its:.0%}" == share
    ]
    if len(first) > 1:
        return f"{', '.join(first[:-1])} and {first[-1]} most often ({share} each)"
    return f"mostly {first[0]} ({share})" if max(speaker.shares.values()) > 0.5 else f"{first[0]} most often ({share})"


def finding(timeline: Timeline) -> str:
    """What the timeline says, in a sentence that fits into a line.

    The turning point whose emotion lasts longest, and what the others sound like; without one, what each sounds like.
    """
    if not timeline.turns:
        return "No speech was found"
    if not any(mood(speaker) for speaker in timeline.speakers):
        return f"{counted(len(timeline.speakers), 'speaker')}, and no turn could be judged"
    point = _telling(timeline)
    if point is None:
        return _state(timeline)
    told = f"{shortened(point.speaker)} turns from {point.before} to {point.after} at {clock(point.time)}"
    following = _next(timeline, point)
    if following is not None:
        back = "back" if following.after == point.before else following.after
        told += f", {back} at {clock(following.time)}"
    others = [speaker for speaker in timeline.speakers if speaker.name != point.speaker and mood(speaker)]
    if not others:
        return told
    if len(others) > 1:
        rest = f"; the others sound {_mood_of(others)}"
    else:
        rest = f"; {shortened(others[0].name)} sounds {mood(others[0])}"
    return told + rest if len(told + rest) <= _LONGEST_FINDING else told


def _state(timeline: Timeline) -> str:
    """What the speakers sound like where nobody turns."""
    judged = [speaker for speaker in timeline.speakers if mood(speaker)]
    if len(judged) <= 2:
        told = ", ".join(
            f"{shortened(speaker.name)} {'' if number else 'sounds '}{mood(speaker)}"
            for number, speaker in enumerate(judged)
        )
        if len(told) <= _LONGEST_FINDING:
            return told
    told = f"{counted(len(timeline.speakers), 'speaker')}: {_mood_of(judged)}"
    felt = [
        (share * speaker.speech, emotion, speaker.name)
        for speaker in judged
        for emotion, share in speaker.shares.items()
        if emotion not in _CALM
    ]
    most, emotion, name = max(felt, default=(0.0, "", ""))
    rest = f"; {shortened(name)} sounds {emotion} longest"
    return told + rest if most and len(told + rest) <= _LONGEST_FINDING else told


def _mood_of(speakers: Sequence[Speaker]) -> str:
    """What several speakers sound like together, each with the weight of their speech."""
    speech = sum(speaker.speech for speaker in speakers)
    names = dict.fromkeys(name for speaker in speakers for name in speaker.shares)
    shares = {
        name: sum(speaker.speech * speaker.shares.get(name, 0.0) for speaker in speakers) / speech for name in names
    }
    return mood(Speaker("", speech, 0, shares, None, None))


def _telling(timeline: Timeline) -> TurningPoint | None:
    """The turning point after which the speaker is heard longest in the emotion that it leads to."""

    def held(point: TurningPoint) -> float:
        following = _next(timeline, point)
        end = timeline.duration if following is None else following.time
        return sum(
            each.end - each.start
            for turn in timeline.turns
            if turn.speaker == point.speaker
            for each in turn.stretches
            if each.emotion == point.after and point.time <= (each.start + each.end) / 2 < end
        )

    known = [point for point in timeline.turning_points if UNKNOWN not in (point.before, point.after)]
    return max(known or timeline.turning_points, key=held, default=None)


def _next(timeline: Timeline, point: TurningPoint) -> TurningPoint | None:
    """The same speaker's next turning point."""
    later = (each for each in timeline.turning_points if each.speaker == point.speaker and each.time > point.time)
    return min(later, key=lambda each: each.time, default=None)


def context(timeline: Timeline) -> list[str]:
    """Without which no probability may be read: the model, to whom it adapts, its scores with their intervals."""
    model = timeline.model
    if not model:
        return []
    told = [f"{model.get('name', 'model')}, {_ADAPTED[model.get('adaptation', 'none')]}"]
    for corpus, score in model.get("scores", {}).items():
        uar = f"UAR {score['uar']:.0%}"
        uar += f" ({score['low']:.0%} to {score['high']:.0%})" if "low" in score else " (interval not measured)"
        by = f", {model['protocol']}" if "protocol" in model else ""
        what = f"{corpus} (a synthesiser speaks)" if corpus in SYNTHETIC else corpus
        chance = f", chance {score['chance']:.0%}" if "chance" in score else ""
        told.append(f"{'LEAKY ' if score.get('leaky') else ''}{uar} on {what}{by}{chance}")
    if "unknown" in model:
        told.append(f"unknown below {model['unknown']:.0%}")
    return told
