"""A conversation as one HTML file that needs nothing else: its sound, who felt what when, and how sure that is.

``templates/conversation.html`` says what is where, ``conversation.css`` (over the report's ``page.css``) how it looks
and ``conversation.js`` what it does. The file loads nothing: sound, style and script lie in it, and its content
security policy lets no other script run. Turns, curves and the transcript are there without the script too.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import zip_longest
from pathlib import Path

import numpy as np

from emodag.conversation import telling
from emodag.conversation.telling import UNJUDGED
from emodag.conversation.timeline import Feeling, Speaker, Timeline, Turn, TurningPoint
from emodag.diarization.base import as_float
from emodag.documents import words
from emodag.documents.page import environment
from emodag.errors import DataError
from emodag.files import atomic_file
from emodag.labels import UNKNOWN
from emodag.plots import COLOURS

#: The sound, which base64 makes a third larger, stays below so many bytes wherever speech at the lowest rate does.
_SOUND = 8_000_000
_LOWEST, _HIGHEST = 6_000, 24_000  # bit/s, between which Opus codes speech in one channel
_RATES = (8_000, 12_000, 16_000)  # Hz, that Opus takes and that hold speech
_TYPE = "audio/webm"

#: Recording and timeline may differ by so much, as decoders pad; s.
_TOLERANCE = 1.0

_POINTS = 1200  # of a curve
_PARTS = 240  # of the overview, at most about so many
_REACH = 20  # of a curve's drawing: units above and below its middle


def write(timeline: Timeline, samples: np.ndarray, rate: int, path: str | Path) -> None:
    """Write the page, atomically.

    Args:
        timeline: what was found.
        samples: the recording, float32 within -1 to 1 or int16, [samples] or [samples, channels]; channels are played
            together.
        rate: of the samples; Hz.
        path: of the HTML file.

    Raises:
        DataError: the samples are not those of the timeline's recording.
    """
    duration = len(samples) / rate
    if abs(duration - timeline.duration) > _TOLERANCE:
        raise DataError(
            f"{timeline.recording}: the timeline lasts {timeline.duration:.1f} s, the samples at {rate} Hz "
            f"{duration:.1f} s; give the samples that were analysed"
        )
    page = render(timeline, encoded(samples, rate))
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def render(timeline: Timeline, sound: bytes) -> str:
    """The page as HTML; ``sound`` is what :func:`encoded` made of the recording."""
    script = resources.files("emodag.documents").joinpath("templates/conversation.js").read_text(encoding="utf-8")
    # The policy names the one script that may run by what it hashes to, with the line breaks that stand around it.
    script = f"\n{script}"
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        environment()
        .get_template("conversation.html")
        .render(
            timeline=timeline,
            finding=telling.finding(timeline),
            context=telling.context(timeline),
            limits=words.limits(timeline.model.get("corpora", timeline.model.get("scores", ()))),
            misuse=words.MISUSE,
            lanes=[_lane(timeline, speaker) for speaker in timeline.speakers],
            kinds=[(name, COLOURS.get(name, "")) for name in telling.kinds(timeline)],
            points=_points(timeline, timeline.turning_points),
            lines=[_line(timeline, number, turn) for number, turn in enumerate(timeline.turns)],
            width=_POINTS - 1,
            height=2 * _REACH,
            data=_data(timeline),
            clock=telling.clock,
            counted=telling.counted,
            sound=f"data:{_TYPE};base64,{base64.b64encode(sound).decode('ascii')}",
            script=script,
            digest=digest,
        )
    )


def encoded(samples: np.ndarray, rate: int) -> bytes:
    """The recording as Opus in WebM, one channel, which browsers play and search: about 8 MB for an hour.

    Args:
        samples: float or int16 [samples] or [samples, channels].
        rate: Hz; others than 8, 12 and 16 kHz become 16 kHz.
    """
    import av

    target = rate if rate in _RATES else _RATES[-1]
    duration = max(len(samples) / rate, 1.0)
    content = io.BytesIO()
    # Bit-exact: the muxer would else draw an identifier, and no two pages of a recording would be the same.
    with av.open(content, "w", format="webm", options={"fflags": "+bitexact"}) as container:
        # Of the encoder's ten levels of effort the third is twice as fast as the last, and enough for speech.
        options = {"application": "voip", "frame_duration": "60", "compression_level": "3"}
        stream = container.add_stream("libopus", rate=target, options=options)
        stream.bit_rate = int(np.clip(8 * _SOUND / duration, _LOWEST, _HIGHEST))
        stream.layout = "mono"
        resampler = av.AudioResampler(format="flt", layout="mono", rate=target)
        for frame in _frames(samples, rate):
            for resampled in resampler.resample(frame):
                container.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    return content.getvalue()


def _frames(samples: np.ndarray, rate: int) -> Iterator:
    """The recording in pieces of ten seconds, its channels mixed."""
    import av

    for first in range(0, len(samples), 10 * rate):
        piece = as_float(samples[first : first + 10 * rate])
        mixed = piece if piece.ndim == 1 else piece.mean(axis=1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mixed[None], np.float32), "flt", "mono")
        frame.sample_rate, frame.pts = rate, first
        yield frame


@dataclass(frozen=True)
class _Piece:
    """A coloured part of a turn or of the overview, in % of what it lies in."""

    left: float
    width: float
    kind: str
    strength: float  #: %
    top: float = 0.0
    height: float = 100.0


@dataclass(frozen=True)
class _Shown:
    """A turn in its lane, in % of the lane."""

    number: int
    left: float
    width: float
    kind: str
    told: str  #: for those who do not see it
    strength: float  #: %, of the turn as a whole
    pieces: tuple[_Piece, ...]
    windows: bool


@dataclass(frozen=True)
class _Point:
    """A turning point in its lane, in % of the lane."""

    point: TurningPoint
    left: float
    room: float  #: until the speaker's next one
    turn: int  #: that it leads to


@dataclass(frozen=True)
class _Line:
    """A turn in the transcript."""

    number: int
    turn: Turn
    kind: str
    likely: tuple[tuple[str, float], ...]  #: the two most probable emotions
    bar: str  #: CSS gradient of all probabilities; empty if it was not judged
    told: str


@dataclass(frozen=True)
class _Lane:
    """A speaker's lane."""

    speaker: Speaker
    share: float  #: of all speech
    most: str
    shares: tuple[tuple[str, float], ...]  #: emotion -> share of the judged speech, largest first
    turns: tuple[_Shown, ...]
    together: tuple[tuple[float, float], ...]  #: left and width of where another speaks too; %
    points: tuple[_Point, ...]
    arousal: str  #: paths
    filled: str
    valence: str
    parts: tuple[_Piece, ...]  #: of the overview


def _lane(timeline: Timeline, speaker: Speaker) -> _Lane:
    own = [(number, turn) for number, turn in enumerate(timeline.turns) if turn.speaker == speaker.name]
    found = telling.curve(timeline, speaker.name, _POINTS)
    shares = sorted(((name, share) for name, share in speaker.shares.items() if share), key=lambda each: -each[1])
    return _Lane(
        speaker=speaker,
        share=speaker.speech / max(sum(each.speech for each in timeline.speakers), 1e-9),
        most=telling.mood(speaker),
        shares=tuple(shares),
        turns=tuple(_shown(timeline, number, turn) for number, turn in own),
        together=tuple(_span(timeline, *span) for span in telling.overlaps(timeline.turns, speaker.name)),
        points=_points(timeline, [point for point in timeline.turning_points if point.speaker == speaker.name]),
        arousal=_path(found.arousal),
        filled=_path(found.arousal, filled=True),
        valence=_path(found.valence),
        parts=_overview(timeline, speaker),
    )


def _shown(timeline: Timeline, number: int, turn: Turn) -> _Shown:
    length = max(turn.end - turn.start, 1e-9)
    pieces = tuple(
        _Piece(100 * (start - turn.start) / length, 100 * (end - start) / length, emotion, 100 * strong)
        for start, end, emotion, strong in telling.spans(turn)
    )
    left, width = _span(timeline, turn.start, turn.end)
    kind = UNJUDGED if turn.feeling is None else turn.feeling.emotion
    whole = 100.0 if turn.feeling is None else 100 * telling.strength(turn.feeling)
    return _Shown(number, left, width, kind, _told(timeline, turn), whole, pieces, bool(turn.windows))


def _told(timeline: Timeline, turn: Turn) -> str:
    """A turn in words: who, when, the most probable emotions, what was said."""
    told = f"{turn.speaker}, {telling.clock(turn.start)} to {telling.clock(turn.end)}"
    if turn.feeling is None:
        return f"{told}: {UNJUDGED}"
    likely = ", ".join(
        f"{name} {share:.0%}" for name, share in telling.likely(timeline.classes, turn.feeling.probabilities)[:3]
    )
    verdict = "unknown; best guesses " if turn.feeling.emotion == UNKNOWN else ""
    return f"{told}: {verdict}{likely}" + (f". {turn.text}" if turn.text else "")


def _line(timeline: Timeline, number: int, turn: Turn) -> _Line:
    """A turn as a line of the transcript."""
    kind = UNJUDGED if turn.feeling is None else turn.feeling.emotion
    likely = [] if turn.feeling is None else telling.likely(timeline.classes, turn.feeling.probabilities)
    at, stops = 0.0, []
    for name, share in likely:
        stops.append(f"{COLOURS[name]} {100 * at:.0f}% {100 * (at + share):.0f}%")
        at += share
    bar = f"linear-gradient(90deg,{','.join(stops)})" if stops else ""
    return _Line(number, turn, kind, tuple(likely[:2]), bar, _told(timeline, turn))


def _points(timeline: Timeline, points: Iterable[TurningPoint]) -> tuple[_Point, ...]:
    """Turning points by time, with the room that each has until the next."""
    points = sorted(points, key=lambda each: each.time)
    shown = []
    for point, following in zip_longest(points, points[1:]):
        own = [number for number, turn in enumerate(timeline.turns) if turn.speaker == point.speaker]
        after = [number for number in own if timeline.turns[number].end > point.time]
        end = timeline.duration if following is None else following.time
        left, room = _span(timeline, point.time, end)
        shown.append(_Point(point, left, room, (after or own)[0]))
    return tuple(shown)


def _span(timeline: Timeline, start: float, end: float) -> tuple[float, float]:
    """A stretch of time as left and width, in % of the recording."""
    duration = max(timeline.duration, 1e-9)
    return 100 * start / duration, 100 * (end - start) / duration


def _path(values: np.ndarray, *, filled: bool = False) -> str:
    """A curve as an SVG path, ``len(values) - 1`` wide and from 0 (for 1) to ``2 * _REACH`` (for -1) high."""
    path, drawing, first = [], False, 0
    for place, value in enumerate(values):
        if np.isnan(value):
            if drawing and filled:
                path.append(f"L{place - 1} {_REACH}L{first} {_REACH}Z")
            drawing = False
            continue
        first = first if drawing else place
        path.append(f"{'L' if drawing else 'M'}{place} {_REACH * (1 - value):.1f}")
        drawing = True
    if drawing and filled:
        path.append(f"L{len(values) - 1} {_REACH}L{first} {_REACH}Z")
    return "".join(path)


def _overview(timeline: Timeline, speaker: Speaker) -> tuple[_Piece, ...]:
    """How long the speaker was heard in each part of the recording, stacked by emotion."""
    found = telling.coarse(timeline, speaker.name, telling.step(timeline.duration / _PARTS))
    pieces = []
    for part, seconds in enumerate(found.seconds):
        left, width = _span(timeline, part * found.length, min((part + 1) * found.length, timeline.duration))
        level = 100.0
        for kind in np.flatnonzero(seconds):
            height = 100 * min(1.0, float(seconds[kind]) / found.length)
            level -= height
            strength = 100 * float(found.strengths[part, kind])
            pieces.append(_Piece(left, width, found.kinds[kind], strength, level, height))
    return tuple(pieces)


def _data(timeline: Timeline) -> dict:
    """What the script shows of a turn beyond what the page holds."""

    def judged(each: Feeling) -> dict:
        return {
            "start": round(each.start, 3),
            "end": round(each.end, 3),
            "emotion": each.emotion,
            "probabilities": [round(value, 3) for value in each.probabilities],
            "arousal": round(each.arousal, 2),
            "valence": round(each.valence, 2),
        }

    return {
        "duration": timeline.duration,
        "classes": timeline.classes,
        "colours": {name: COLOURS[name] for name in timeline.classes},
        "context": " · ".join(telling.context(timeline)),
        "turns": [
            {
                "start": round(turn.start, 3),
                "end": round(turn.end, 3),
                "speaker": turn.speaker,
                "text": turn.text,
                "feeling": None if turn.feeling is None else judged(turn.feeling),
                "windows": [judged(each) for each in turn.stretches] if turn.windows else [],
            }
            for turn in timeline.turns
        ],
    }
