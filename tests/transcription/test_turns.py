"""Words go to the turns in which they are said."""

from __future__ import annotations

import numpy as np
import pytest
from pyannote.core import Annotation

from emodag import audio
from emodag.conversation.timeline import Timeline, Turn
from emodag.conversation.transcripts import Line
from emodag.conversation.voices import Voices
from emodag.listening import Sound
from emodag.transcription.base import Transcript
from emodag.transcription.turns import with_words

RATE = 16_000
COUNTED = "one two three four five"


def sound(*channels: np.ndarray) -> Sound:
    length = max(map(len, channels))
    pcm = [audio.to_pcm16(np.pad(each, (0, length - len(each)))) for each in channels]
    return Sound("call.wav", np.stack(pcm, axis=1), RATE)


def timeline(*turns: tuple[float, float, str], duration: float = 20.0) -> Timeline:
    made = tuple(Turn(start, end, speaker, 0.0, None, text="of an older transcript") for start, end, speaker in turns)
    return Timeline("call.wav", duration, ("neutral",), made, (), (), ("a note",))


class Clockwork:
    """Hears a word every half second of whatever it is given, which is its number; some know no times."""

    def __init__(self, *, times: bool = True):
        self.times = times
        self.heard: list[float] = []

    def transcribe(self, samples):
        seconds = len(samples) / RATE
        self.heard.append(round(seconds, 3))
        words = tuple(Line(at, at + 0.4, f"{number}") for number, at in enumerate(np.arange(0.05, seconds - 0.4, 0.5)))
        return Transcript(" ".join(word.text for word in words), words if self.times else ())


def test_each_turn_has_its_own_words(sphinx, counting):
    pause = np.zeros(RATE, np.float32)
    recording = sound(np.concatenate([counting, pause, counting]))
    length = len(counting) / RATE
    told = with_words(
        timeline((0.0, length, "A"), (length + 1, 2 * length + 1, "B")),
        Voices(Annotation(), recording),
        sphinx,
        15.0,
    )
    assert [turn.text for turn in told.turns] == [COUNTED, COUNTED]
    assert told.notes == ("a note",)


def test_speakers_with_a_channel_each_are_heard_alone_though_they_overlap(sphinx, counting):
    late = np.concatenate([np.zeros(RATE // 2, np.float32), counting])
    length = len(counting) / RATE
    call = Voices(Annotation(), sound(counting, late), {"A": 0, "B": 1})
    told = with_words(timeline((0.0, length, "A"), (0.5, length + 0.5, "B")), call, sphinx, 15.0)
    assert [turn.text for turn in told.turns] == [COUNTED, COUNTED]


def test_turns_that_overlap_in_one_channel_are_decoded_once_and_words_go_by_their_middles():
    clockwork = Clockwork()
    told = with_words(
        timeline((0.0, 2.0, "A"), (1.5, 4.0, "B"), (6.0, 7.0, "A")),
        Voices(Annotation(), sound(np.ones(8 * RATE, np.float32) / 2)),
        clockwork,
        15.0,
    )
    assert clockwork.heard == [4.0, 1.0]
    # Middles at 0.25, 0.75, ...; that at 1.75 lies in both turns, and belongs to the first.
    assert [turn.text for turn in told.turns] == ["0 1 2 3", "4 5 6 7", "0 1"]


def test_a_backend_without_times_still_fills_the_turns():
    call = Voices(Annotation(), sound(np.ones(8 * RATE, np.float32) / 2))
    told = with_words(timeline((0.0, 2.0, "A"), (3.0, 4.0, "B")), call, Clockwork(times=False), 15.0)
    assert [turn.text for turn in told.turns] == ["0 1 2 3", "0 1"]


def test_long_turns_are_decoded_in_pieces():
    clockwork = Clockwork()
    with_words(timeline((0.0, 18.0, "A")), Voices(Annotation(), sound(np.ones(18 * RATE) / 2)), clockwork, 5.0)
    assert max(clockwork.heard) <= 5.0
    assert sum(clockwork.heard) == pytest.approx(18.0, abs=0.1)


def test_where_it_is_stopped_the_rest_has_no_words_and_a_note_says_so():
    answers = iter([True, False])
    call = Voices(Annotation(), sound(np.ones(8 * RATE, np.float32) / 2))
    told = with_words(
        timeline((0.0, 2.0, "A"), (3.0, 4.0, "B"), (5.0, 6.0, "A")), call, Clockwork(), 15.0, lambda: next(answers)
    )
    assert [turn.text for turn in told.turns] == ["0 1 2 3", "", ""]
    assert told.notes == ("a note", "transcription was stopped: from 3.0 s on, words are missing")


def test_without_turns_nothing_is_decoded():
    clockwork = Clockwork()
    assert with_words(timeline(), Voices(Annotation(), sound(np.zeros(RATE))), clockwork, 15.0).turns == ()
    assert clockwork.heard == []
