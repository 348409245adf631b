from __future__ import annotations

import numpy as np
import pytest

from emodag import evaluation

OPTIONS = {"confidence": 0.95, "resamples": 400, "seed": 0}


def voices(rng, women: float, men: float, each: int = 6, spread: float = 0.08, clips: int = 8):
    """Truth, predictions, speakers and sexes; women and men are recognised as often as told, give or take."""
    sexes = np.repeat(["female", "male"], each)
    skill = np.clip(np.where(sexes == "female", women, men) + rng.normal(0, spread, 2 * each), 0, 1)
    speaker = np.repeat(np.arange(2 * each), 3 * clips)
    truth = np.tile(np.repeat(np.arange(3), clips), 2 * each)
    missed = (truth + rng.integers(1, 3, len(truth))) % 3
    predicted = np.where(rng.random(len(truth)) < skill[speaker], truth, missed)
    return truth, predicted, speaker.astype(str), sexes[speaker].astype(object)


def found_in(truth, predicted, speakers, attributes, **options):
    return evaluation.fairness_of(truth, predicted, speakers, attributes, 3, **OPTIONS | options)


def test_a_difference_that_is_there_stands_out():
    truth, predicted, speakers, sexes = voices(np.random.default_rng(0), 0.9, 0.5)
    female, male = found_in(truth, predicted, speakers, {"sex": sexes}).subgroups
    assert (female.value, male.value) == ("female", "male")
    assert (female.clips, female.speakers) == (144, 6)
    assert female.stands_out
    assert male.stands_out
    assert female.difference == pytest.approx(female.uar - male.uar) == pytest.approx(-male.difference)
    assert female.difference > 0.25
    assert female.interval[0] < female.uar < female.interval[1]
    assert 0 < female.difference_interval[0] < female.difference < female.difference_interval[1]


def test_what_is_chance_seldom_stands_out():
    rng, alarms = np.random.default_rng(1), 0
    for seed in range(150):
        truth, predicted, speakers, sexes = voices(rng, 0.7, 0.7)
        alarms += any(
            part.stands_out for part in found_in(truth, predicted, speakers, {"sex": sexes}, seed=seed).subgroups
        )
    assert alarms <= 0.09 * 150


def test_many_differences_are_looked_at_with_wider_intervals():
    truth, predicted, speakers, sexes = voices(np.random.default_rng(2), 0.8, 0.7)
    thirds = np.array(["a", "b", "c"], object)[speakers.astype(int) % 3]
    alone = found_in(truth, predicted, speakers, {"sex": sexes}).subgroups[0]
    among = found_in(truth, predicted, speakers, {"sex": sexes, "accent": thirds}).subgroups[0]
    assert among.interval == alone.interval
    assert among.difference == alone.difference
    assert np.diff(among.difference_interval) > np.diff(alone.difference_interval)


def test_differences_are_over_the_emotions_that_both_sides_have():
    # The one speaker of strong clips never speaks emotion 0, which nobody recognises.
    truth = np.array([0, 0, 1, 2, 1, 2, 1, 2, 1, 2])
    predicted = np.array([1, 1, 1, 2, 1, 2, 1, 2, 1, 2])
    speakers = np.array(["a"] * 4 + ["b"] * 2 + ["c"] * 4)
    strength = np.array(["normal"] * 6 + ["strong"] * 4, object)
    normal, strong = found_in(truth, predicted, speakers, {"intensity": strength}).subgroups
    assert (normal.uar, strong.uar) == (pytest.approx(2 / 3), 1)
    assert normal.difference == strong.difference == 0
    assert not strong.stands_out


def test_sides_without_a_common_emotion_have_no_difference():
    truth = np.array([0, 0, 1, 1])
    groups = np.array(["x", "x", "y", "y"], object)
    parts = found_in(truth, truth, np.array(list("abab")), {"kind": groups}).subgroups
    assert [(part.difference, part.difference_interval) for part in parts] == [(None, None)] * 2


def test_one_speaker_has_no_interval_and_never_stands_out():
    truth = np.tile([0, 1, 2], 12)
    speakers = np.repeat(["a", "b", "c"], 12)
    sexes = np.where(speakers == "a", "male", "female").astype(object)
    predicted = np.where(speakers == "a", (truth + 1) % 3, truth)
    female, male = found_in(truth, predicted, speakers, {"sex": sexes}).subgroups
    assert male.interval is None
    assert female.interval == (1, 1)
    assert (male.difference, male.difference_interval, male.stands_out) == (-1, None, False)


def test_what_is_not_known_or_all_the_same_is_left_out():
    truth = np.tile([0, 1, 2], 8)
    speakers = np.repeat(list("abcd"), 6)
    attributes = {
        "sex": np.full(24, None, object),
        "language": np.full(24, "en", object),
        "age": np.where(speakers == "a", None, np.where(speakers == "b", "30 to 49", "under 30")).astype(object),
    }
    parts = found_in(truth, truth, speakers, attributes).subgroups
    assert [(part.attribute, part.value, part.clips) for part in parts] == [
        ("age", "under 30", 12),
        ("age", "30 to 49", 6),
    ]


def test_speakers_come_from_the_worst_to_the_best():
    truth = np.tile([0, 1], 35)
    speakers = np.repeat(list("gfedcba"), 10)
    right = {name: number for number, name in enumerate("abcdefg", start=2)}
    within = np.tile(np.arange(10), 7)
    predicted = np.where(within < [right[name] for name in speakers], truth, 1 - truth)
    found = evaluation.fairness_of(truth, predicted, speakers, {}, 2, **OPTIONS)
    assert [each.speaker for each in found.speakers] == list("abcdefg")
    assert [each.speaker for each in found.worst] == list("abcde")
    assert [each.uar for each in found.speakers] == pytest.approx(np.arange(2, 9) / 10)
    assert {each.clips for each in found.speakers} == {10}
    assert found.spread == pytest.approx(np.std(np.arange(2, 9) / 10, ddof=1))


def test_one_speaker_spreads_nothing():
    found = evaluation.fairness_of(np.array([0, 1]), np.array([0, 0]), np.array(["a", "a"]), {}, 2, **OPTIONS)
    assert found.spread == 0
    assert found.speakers[0].uar == 0.5


def test_rows_of_several_seeds_count_each_clip_once():
    truth, predicted, speakers, sexes = voices(np.random.default_rng(3), 0.8, 0.6)
    twice = [np.repeat(each, 2) for each in (truth, predicted, speakers)]
    once = found_in(truth, predicted, speakers, {"sex": sexes})
    doubled = found_in(*twice, {"sex": np.repeat(sexes, 2)}, repeats=2)
    assert doubled == once


@pytest.mark.parametrize(
    ("age", "group"),
    [(18, "under 30"), (29, "under 30"), (30, "30 to 49"), (49, "30 to 49"), (50, "50 and over"), (90, "50 and over"),
     (None, None), (float("nan"), None)],
)  # fmt: skip
def test_ages_fall_into_groups(age, group):
    assert evaluation.age_groups(np.array([age], object))[0] == group
