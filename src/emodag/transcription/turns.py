"""What is said in each turn of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from emodag.conversation.timeline import Timeline, Turn
from emodag.conversation.transcripts import Line, with_text
from emodag.conversation.voices import Voices
from emodag.transcription.base import KeepGoing, Transcriber, always, later, transcript


def with_words(
    timeline: Timeline, voices: Voices, transcriber: Transcriber, longest: float, keep_going: KeepGoing = always
) -> Timeline:
    """A timeline whose turns have the words that are said in them, decoded turn by turn.

    Turns that overlap in the same channel are decoded as one stretch, since both voices are in the sound; each word
    then belongs to the turn in which its middle lies, the first of them where there are several. Where a transcript
    exists already (``text``), it is replaced.

    Args:
        timeline: of the recording.
        voices: of the same recording: its sound, and the channel of each speaker who has one.
        transcriber: by :func:`emodag.transcription.base.create`.
        longest: of a piece that is decoded at once; s.
        keep_going: asked before each piece; where it says no, later turns have no words and a note says so.
    """
    texts: dict[Turn, str] = {}
    reached, complete = timeline.duration, True
    for stretch in _stretches(timeline.turns, voices):
        start, end = stretch[0].start, max(turn.end for turn in stretch)
        samples = voices.sound.between(start, end, voices.channels.get(stretch[0].speaker))
        heard = transcript(transcriber, samples, longest, keep_going)
        lines = heard.words or ((Line(0.0, end - start, heard.text),) if heard.text else ())
        told = with_text(stretch, [_at_middle(later(line, start)) for line in lines])
        texts |= {turn: spoken.text for turn, spoken in zip(stretch, told, strict=True)}
        if not heard.complete:
            complete, reached = False, start
            break
    turns = tuple(replace(turn, text=texts.get(turn, "")) for turn in timeline.turns)
    note = () if complete else (f"transcription was stopped: from {reached:.1f} s on, words are missing",)
    return replace(timeline, turns=turns, notes=(*timeline.notes, *note))


def _stretches(turns: Iterable[Turn], voices: Voices) -> Iterator[list[Turn]]:
    """Turns of one channel that overlap, together; by start."""
    stretches: list[list[Turn]] = []

    def channel(turn: Turn) -> int:
        return voices.channels.get(turn.speaker, -1)

    for _, own in groupby(sorted(turns, key=lambda turn: (channel(turn), turn.start)), key=channel):
        end = -1.0
        for turn in own:
            if turn.start < end:
                stretches[-1].append(turn)
            else:
                stretches.append([turn])
            end = max(end, turn.end)
    yield from sorted(stretches, key=lambda stretch: stretch[0].start)


def _at_middle(line: Line) -> Line:
    """A word as a moment, its middle: then the turn that shares most with it is the one in which that lies."""
    middle = (line.start + line.end) / 2
    return Line(middle, middle, line.text)
