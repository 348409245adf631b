"""Speech of any length in pieces, and the choice of a backend."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from emodag import params
from emodag.errors import AudioError, ParamsError
from emodag.transcription.base import create, pieces, transcript

SETTINGS = params.load(Path(__file__).resolve().parents[2] / "params.yaml")
RATE = 16_000


@pytest.mark.parametrize("seconds", [0.2, 4.9, 5.0, 5.3, 23.0])
def test_pieces_hold_all_of_the_speech_and_none_is_too_long(seconds):
    samples = np.random.default_rng(0).normal(size=int(seconds * RATE)).astype(np.float32)
    cuts = list(pieces(samples, 5.0))
    assert cuts[0][0] == 0
    assert all(one[1] == other[0] for one, other in itertools.pairwise(cuts))
    assert all(0 < last - first <= 5 * RATE for first, last in cuts)
    assert len(samples) - cuts[-1][1] < 0.1 * RATE


def test_speech_is_cut_where_it_is_softest():
    samples = np.random.default_rng(0).normal(size=8 * RATE).astype(np.float32)
    samples[int(3.5 * RATE) : int(3.8 * RATE)] *= 0.01
    (_, cut), _ = pieces(samples, 5.0)
    assert 3.5 * RATE < cut < 3.8 * RATE


def test_what_is_too_short_for_a_word_gives_no_piece():
    assert list(pieces(np.zeros(1000, np.float32), 5.0)) == []
    assert list(pieces(np.zeros(0, np.float32), 5.0)) == []


def test_words_of_later_pieces_have_the_times_of_the_whole(sphinx, counting):
    twice = np.concatenate([counting, counting])
    heard = transcript(sphinx, twice, len(counting) / RATE * 1.3)
    assert heard.complete
    fives = [word for word in heard.words if word.text == "five"]
    assert len(fives) == 2
    assert fives[1].start - fives[0].start == pytest.approx(len(counting) / RATE, abs=0.2)
    assert all(one.end <= other.start + 0.02 for one, other in itertools.pairwise(heard.words))


def test_who_asks_can_stop_it_between_pieces(sphinx, counting):
    answers = iter([True, False])
    thrice = np.concatenate([counting] * 3)
    heard = transcript(sphinx, thrice, len(counting) / RATE * 1.3, lambda: next(answers))
    assert not heard.complete
    assert heard.text.count("five") == 1
    stopped = transcript(sphinx, counting, 15.0, lambda: False)
    assert stopped == ("", (), False)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros((8000, 2), np.float32), "wrong_format"),
        (np.zeros(8000, np.int32), "wrong_format"),
        (np.full(8000, np.nan, np.float32), "not_finite"),
    ],
)
def test_what_is_no_sound_is_refused(sphinx, samples, reason):
    with pytest.raises(AudioError) as caught:
        transcript(sphinx, samples, 5.0)
    assert caught.value.reason == reason


def test_none_transcribes_nothing():
    assert create(SETTINGS.transcribe.model_copy(update={"backend": "none"})) is None


def test_the_default_is_sphinx_in_english(counting):
    assert create(SETTINGS.transcribe).transcribe(counting).text == "one two three four five"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"transcribe.backend": "sfinx"}, "accepted: 'sphinx', 'whisper' or 'none'"),
        ({"transcribe.language": "US English"}, "transcribe.language"),
        ({"transcribe.piece": 0.5}, "transcribe.piece"),
    ],
)
def test_params_that_make_no_sense_are_refused(change, told):
    with pytest.raises(ParamsError, match=told):
        SETTINGS.changed(change)
