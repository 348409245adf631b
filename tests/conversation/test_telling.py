"""What is said of a timeline in words, and its coarse view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emodag.conversation import tables, telling
from emodag.conversation.analysis import speakers_in
from emodag.conversation.timeline import Feeling, Speaker, Timeline, Turn, TurningPoint


def feeling(start, end, probability, emotion="angry", arousal=0.0):
    return Feeling(start, end, (probability, 1 - probability), emotion, arousal, 0.0)


def turn(start, end, speaker="ann", **changes):
    return Turn(start, end, speaker, 0.0, **{"feeling": feeling(start, end, 0.9)} | changes)


def timeline(turns=(), speakers=(), points=(), duration=100.0, **changes):
    return Timeline("call.wav", duration, ("angry", "neutral"), tuple(turns), tuple(speakers), tuple(points), **changes)


ANN = Speaker("ann", 10.0, 2, {"angry": 0.6, "neutral": 0.4}, 0.5, -0.4)
BOB = Speaker("bob", 30.0, 3, {"neutral": 0.45, "angry": 0.35, "unknown": 0.2}, 0.1, 0.0)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00"), (59.99, "0:59"), (61, "1:01"), (3600, "1:00:00"), (7384.2, "2:03:04")]
)
def test_clock(seconds, told):
    assert telling.clock(seconds) == told


@pytest.mark.parametrize(("confidence", "strength"), [(1.0, 1.0), (0.5, 0.3), (0.75, 0.65)])
def test_strength_goes_from_chance_to_certainty(confidence, strength):
    assert telling.strength(feeling(0, 1, confidence)) == pytest.approx(strength)


def test_stretches_follow_each_other_through_the_turn():
    windows = (feeling(10, 13, 0.9), feeling(11, 14, 0.6), feeling(12, 15, 0.2))
    judged = turn(10, 15, windows=windows)
    assert [(each.start, each.end) for each in judged.stretches] == [(10, 12.0), (12.0, 13.0), (13.0, 15)]
    assert [each.probabilities for each in judged.stretches] == [each.probabilities for each in windows]
    assert judged.unjudged == ()
    short = turn(2, 4, feeling=feeling(2.5, 3.5, 0.9))
    assert [(each.start, each.end) for each in short.stretches] == [(2, 4)]
    assert short.unjudged == ()
    silent = turn(2, 4, feeling=None)
    assert (silent.stretches, silent.unjudged) == ((), ((2, 4),))


def test_no_emotion_is_told_of_what_others_speak_over():
    """Of windows from 0 to 60 s, those of the first 8 s and of two in the middle are left."""
    windows = (feeling(0, 4, 0.9), feeling(2, 6, 0.6), feeling(4, 8, 0.6), feeling(30, 34, 0.7), feeling(34, 38, 0.7))
    judged = turn(0, 60, windows=windows)
    spans = [(each.start, each.end) for each in judged.stretches]
    assert spans == [(0, 3.0), (3.0, 5.0), (5.0, 8), (30, 34.0), (34.0, 38)]
    assert judged.unjudged == ((8, 30), (38, 60))


def test_kinds_are_in_their_order_and_then_what_is_not_known():
    turns = (turn(0, 1), turn(1, 2, feeling=feeling(1, 2, 0.5, "unknown")), turn(2, 3, feeling=None))
    calm = turn(3, 9, windows=(feeling(3, 6, 0.2, "neutral"), feeling(6, 9, 0.9)))
    assert telling.kinds(timeline((*turns, calm))) == ("neutral", "angry", "unknown", "not judged")
    assert telling.kinds(timeline(turns[:1])) == ("angry",)


def test_overlaps_are_of_others_and_joined():
    turns = (turn(0, 10), turn(2, 4, "bob"), turn(3, 6, "eve"), turn(8, 12, "bob"), turn(9, 11))
    assert telling.overlaps(turns, "ann") == [(2, 6), (8, 11)]
    assert telling.overlaps(turns, "bob") == [(2, 4), (8, 11)]
    assert telling.overlaps(turns[:1], "ann") == []


def test_coarse_counts_every_second_once():
    turns = (turn(0, 25), turn(28, 31, feeling=None), turn(40, 44, feeling=feeling(40, 44, 0.75, "unknown")))
    found = telling.coarse(timeline(turns), "ann", 10)
    assert found.kinds == ("angry", "neutral", "unknown", "not judged")
    assert found.seconds.shape == (10, 4)
    np.testing.assert_allclose(
        found.seconds[:5], [[10, 0, 0, 0], [10, 0, 0, 0], [5, 0, 0, 2], [0, 0, 0, 1], [0, 0, 4, 0]]
    )
    np.testing.assert_allclose(found.strengths[[0, 2, 4]], [[0.86, 0, 0, 0], [0.86, 0, 0, 1], [0, 0, 0.65, 0]])
    assert telling.coarse(timeline(turns), "bob", 10).seconds.sum() == 0


def test_a_curve_is_smooth_within_speech_and_absent_in_long_silence():
    turns = (
        turn(0, 10, feeling=feeling(0, 10, 0.9, arousal=0.8)),
        turn(11, 20, feeling=feeling(11, 20, 0.9, arousal=-0.2)),
        turn(80, 90, feeling=feeling(80, 90, 0.9, arousal=0.5)),
    )
    found = telling.curve(timeline(turns), "ann", 401)
    at = dict(zip(found.times.round(2), found.arousal, strict=True))
    assert at[5.0] == pytest.approx(0.8, abs=0.01)
    assert at[15.0] == pytest.approx(-0.2, abs=0.01)
    assert -0.2 < at[10.5] < 0.8
    assert np.isnan(at[50.0])
    assert np.isnan(at[95.0])
    assert at[85.0] == pytest.approx(0.5)
    assert np.isnan(telling.curve(timeline(turns), "bob", 401).arousal).all()


def test_the_finding_is_the_turning_point_that_lasts():
    turns = (turn(0, 5), turn(50, 90), turn(95, 96))
    points = [TurningPoint(50, "ann", "neutral", "angry"), TurningPoint(92, "ann", "angry", "neutral")]
    told = telling.finding(timeline(turns, (ANN, BOB), points))
    assert told == "ann turns from neutral to angry at 0:50, back at 1:32; bob sounds neutral most often (45%)"
    told = telling.finding(timeline(turns, (ANN,), points[:1]))
    assert told == "ann turns from neutral to angry at 0:50"


def test_turning_to_the_unknown_is_told_only_where_nothing_else_is():
    turns = (turn(10, 90, feeling=feeling(10, 90, 0.5, "unknown")), turn(92, 93))
    unsure, sure = TurningPoint(10, "ann", "neutral", "unknown"), TurningPoint(92, "ann", "unknown", "angry")
    known = TurningPoint(92, "ann", "neutral", "angry")
    assert "at 1:32" in telling.finding(timeline(turns, (ANN,), (unsure, known)))
    assert "at 0:10" in telling.finding(timeline(turns, (ANN,), (unsure, sure)))


@pytest.mark.parametrize(
    ("speakers", "told"),
    [
        ((ANN,), "ann sounds mostly angry (60%)"),
        ((ANN, BOB), "ann sounds mostly angry (60%), bob neutral most often (45%)"),
        ((ANN, BOB, replace(ANN, name="eve")), "Three speakers: angry most often (45%); bob sounds angry longest"),
        ((replace(ANN, shares={"unknown": 0.9, "angry": 0.1}),), "ann sounds mostly unclear (90%)"),
        ((replace(ANN, shares={}),), "One speaker, and no turn could be judged"),
    ],
)
def test_without_turning_points_the_finding_is_what_each_sounds_like(speakers, told):
    assert telling.finding(timeline([turn(0, 5)], speakers)) == told


def test_silence_is_a_finding():
    assert telling.finding(timeline()) == "No speech was found"


def test_a_finding_fits_into_a_line_whatever_names_are():
    long = [replace(each, name=f"{each.name} {'of somewhere ' * 20}\n") for each in (ANN, BOB)]
    point = TurningPoint(50, long[0].name, "surprised", "disgust")
    for points in ((), (point,)):
        told = telling.finding(timeline([turn(0, 5, long[0].name)], long, points))
        assert len(told) <= 108
        assert "\n" not in told


def test_context_names_what_the_probabilities_rest_on():
    scores = {"alpha": {"uar": 0.5, "low": 0.4, "high": 0.62, "chance": 0.25}, "beta": {"uar": 0.8, "leaky": True}}
    model = {"name": "mlp", "adaptation": "speaker", "unknown": 0.55, "protocol": "loso", "scores": scores}
    assert telling.context(timeline(model=model)) == [
        "mlp, adapted to each voice",
        "UAR 50% (40% to 62%) on alpha, loso, chance 25%",
        "LEAKY UAR 80% (interval not measured) on beta, loso",
        "unknown below 55%",
    ]
    assert telling.context(timeline()) == []


def test_scores_on_synthetic_speech_are_told_as_such():
    model = {"name": "mlp", "adaptation": "none", "scores": {"demo_en": {"uar": 0.8}}}
    assert "on demo_en (a synthesiser speaks)" in telling.context(timeline(model=model))[1]


def test_of_whom_nothing_was_judged_no_affect_is_told():
    """A mean of nothing is not neutral."""
    turns = (turn(0, 2), turn(3, 3.2, speaker="ben", feeling=None))
    ann, ben = speakers_in(turns)
    assert (ann.arousal, ann.valence) == (0.0, 0.0)
    assert (ben.arousal, ben.valence, ben.shares) == (None, None, {})
    told = "\n".join(tables.told(timeline(turns, (ann, ben))))
    assert "ben  0.2 s in one turn, nothing judged\n" in told
    assert told.count("valence") == 1
