"""A timeline as text: lines for people, JSON and CSV for programs, and the ``Annotation`` of which RTTM is made."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emodag.conversation.telling import UNJUDGED, clock, context, counted, finding, likely, mood, shortened
from emodag.conversation.timeline import Feeling, Timeline, Turn

if TYPE_CHECKING:
    from pyannote.core import Annotation

#: Digits that are kept of seconds, of probabilities, and of valence and arousal.
_SECONDS, _SHARES = 3, 4


def told(timeline: Timeline) -> list[str]:
    """Lines for people: the finding, each turn, each speaker, where emotions turn, and what to mind."""
    lines = [f"{timeline.recording}: {finding(timeline)}"]
    names = max((len(shortened(speaker.name)) for speaker in timeline.speakers), default=0)
    if timeline.turns:
        lines += ["", "turns", *(_line(turn, names) for turn in timeline.turns), "", "speakers"]
    for speaker in timeline.speakers:
        felt = "nothing judged"
        if speaker.arousal is not None:
            felt = f"{mood(speaker)}; valence {speaker.valence:+.2f}, arousal {speaker.arousal:+.2f}"
        turns = counted(speaker.turns, "turn").lower()
        lines.append(f"  {shortened(speaker.name):{names}}  {speaker.speech:.1f} s in {turns}, {felt}")
    if timeline.turning_points:
        lines += ["", "turning points"]
        lines += [
            f"  {clock(point.time)}  {shortened(point.speaker)} turns from {point.before} to {point.after}"
            for point in timeline.turning_points
        ]
    return [*lines, "", *timeline.notes, *context(timeline)]


def _line(turn: Turn, names: int) -> str:
    told = f"  {clock(turn.start):>7}  {shortened(turn.speaker):{names}}  {turn.end - turn.start:5.1f} s  "
    if turn.feeling is None:
        said = f"({UNJUDGED})"
    else:
        said = f"{turn.feeling.emotion} {turn.feeling.confidence:.0%}"
        changing = [emotion for emotion, _ in groupby(each.emotion for each in turn.windows)]
        said += f" ({', then '.join(changing)})" if len(changing) > 1 else ""
    return told + said + (f"  {turn.text}" if turn.text else "")


def described(timeline: Timeline) -> dict[str, Any]:
    """All of a timeline, as JSON holds it; probabilities by name, the most probable emotion first."""
    return {
        "recording": timeline.recording,
        "duration": round(timeline.duration, _SECONDS),
        "speakers": [_rounded(asdict(speaker)) for speaker in timeline.speakers],
        "turning_points": [_rounded(asdict(point)) for point in timeline.turning_points],
        "turns": [
            {
                "start": round(turn.start, _SECONDS),
                "end": round(turn.end, _SECONDS),
                "speaker": turn.speaker,
                "overlap": round(turn.overlap, _SECONDS),
                "text": turn.text,
                "feeling": None if turn.feeling is None else felt(turn.feeling, timeline.classes),
                "windows": [felt(each, timeline.classes) for each in turn.windows],
            }
            for turn in timeline.turns
        ],
        "notes": list(timeline.notes),
        "model": timeline.model,
    }


def felt(feeling: Feeling, classes: tuple[str, ...]) -> dict[str, Any]:
    """What was heard in a stretch, as JSON holds it."""
    return _rounded(
        {
            "start": feeling.start,
            "end": feeling.end,
            "emotion": feeling.emotion,
            "probabilities": dict(likely(classes, feeling.probabilities)),
            "valence": feeling.valence,
            "arousal": feeling.arousal,
        }
    )


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        places = {key: _SECONDS if key in ("start", "end", "time", "speech") else _SHARES for key in content}
        return {
            key: round(value, places[key]) if isinstance(value, float) else _rounded(value)
            for key, value in content.items()
        }
    return content


def as_csv(timeline: Timeline) -> str:
    """A row for each turn and, after it, for each of its windows; probabilities in a column for each class.

    What is not judged has empty cells there.
    """
    out = io.StringIO()
    columns = ("kind", "start", "end", "speaker", "emotion", "confidence", "valence", "arousal", "overlap", "text")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*columns, *timeline.classes))
    for turn in timeline.turns:
        own = (round(turn.overlap, _SECONDS), turn.text)
        rows = [("turn", turn.start, turn.end, turn.feeling, own)]
        rows += [("window", each.start, each.end, each, ("", "")) for each in turn.windows]
        for kind, start, end, feeling, rest in rows:
            times = (round(start, _SECONDS), round(end, _SECONDS))
            writer.writerow((kind, *times, turn.speaker, *_cells(feeling), *rest, *_probabilities(feeling, timeline)))
    return out.getvalue()


def _cells(feeling: Feeling | None) -> tuple:
    if feeling is None:
        return ("",) * 4
    return feeling.emotion, *(round(each, _SHARES) for each in (feeling.confidence, feeling.valence, feeling.arousal))


def _probabilities(feeling: Feeling | None, timeline: Timeline) -> tuple:
    if feeling is None:
        return ("",) * len(timeline.classes)
    return tuple(round(each, _SHARES) for each in feeling.probabilities)


def speakers_of(timeline: Timeline) -> Annotation:
    """Who speaks when, turn by turn, under the recording's name without its suffix, as RTTM calls it."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation(uri=Path(timeline.recording).stem)
    for number, turn in enumerate(timeline.turns):
        annotation[Segment(turn.start, turn.end), number] = turn.speaker
    return annotation
