"""What was said when, from the files that transcribers write, and which turn each line belongs to.

Read are SubRip (``.srt``), WebVTT (``.vtt``), Whisper's JSON (``segments`` with ``start``, ``end`` and ``text``) and
CSV with these columns. Times are in seconds from the start of the recording, or ``h:mm:ss.fff`` as subtitles have them.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from emodag.conversation.timeline import Turn
from emodag.errors import DataError

ACCEPTED = (".srt", ".vtt", ".json", ".csv")

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2}(?:[.,]\d+)?)"
_CUE = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
# Of WebVTT: voices, classes, italics. What is said comes between them.
_MARKUP = re.compile(r"</?(?:v|c|i|b|u|ruby|rt|lang|font)\b[^>]*>|<\d[\d:.]*>")


class Line(NamedTuple):
    """Something that was said."""

    start: float  #: s
    end: float  #: s
    text: str


def read(path: str | Path) -> list[Line]:
    """The lines of a transcript, by start; empty ones are left out.

    Raises:
        DataError: the file is missing, of another kind, or broken; the message names the place.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in ACCEPTED:
        raise DataError(f"{path}: a transcript is one of {', '.join(ACCEPTED)}; found {kind or 'no suffix'}")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from None
    reader = {".json": _of_json, ".csv": _of_csv}.get(kind, _of_subtitles)
    try:
        lines = sorted(line for line in reader(content) if line.text)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{path}: not a transcript: {_told(error)}") from None
    for line in lines:
        if not 0 <= line.start <= line.end:
            raise DataError(f"{path}: a line runs from {line.start} to {line.end} s: {line.text[:40]!r}")
    return lines


def _told(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _of_subtitles(content: str) -> Iterator[Line]:
    """Cues of SubRip and WebVTT, which differ in their head and in the sign before milliseconds."""
    cues = 0
    for block in re.split(r"\n\s*\n", content.replace("\r\n", "\n")):
        rows = block.strip("\n").split("\n")
        for number, row in enumerate(rows):
            if found := _CUE.match(row):
                cues += 1
                times = found.groups()
                text = html.unescape(_MARKUP.sub("", " ".join(rows[number + 1 :])))
                yield Line(_seconds(*times[:3]), _seconds(*times[3:]), " ".join(text.split()))
                break
    if not cues and content.strip() not in ("", "WEBVTT"):
        raise ValueError("no cue like 00:00:01.000 --> 00:00:02.500")


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))


def _of_json(content: str) -> Iterator[Line]:
    found = json.loads(content)
    segments = found["segments"] if isinstance(found, dict) else found
    for each in segments:
        yield _line(each)


def _of_csv(content: str) -> Iterator[Line]:
    for row in csv.DictReader(io.StringIO(content)):
        yield _line(row)


def _line(fields: dict) -> Line:
    text = fields["text"]
    if not isinstance(text, str | None):
        raise ValueError(f"the text is {str(text)[:40]}: expected a string")
    return Line(float(fields["start"]), float(fields["end"]), " ".join((text or "").split()))


def with_text(turns: Sequence[Turn], lines: Sequence[Line]) -> tuple[Turn, ...]:
    """The turns, each with the lines that are said in it.

    A line belongs to the turn that shares most time with it; where it lies in none, to the turn whose bounds are
    nearest. Who speaks a line is left to diarization.
    """
    if not turns:
        return ()
    said: list[list[str]] = [[] for _ in turns]
    for line in lines:
        said[max(range(len(turns)), key=lambda number: _shared(turns[number], line))].append(line.text)
    return tuple(replace(turn, text=" ".join(texts)) for turn, texts in zip(turns, said, strict=True))


def _shared(turn: Turn, line: Line) -> float:
    """Seconds that a turn and a line share; below 0, how far they are apart."""
    return min(turn.end, line.end) - max(turn.start, line.start)
