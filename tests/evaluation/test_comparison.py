"""Paired comparison of two models, on synthesised hits whose difference is known."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from emodag.errors import DataError
from emodag.evaluation import bootstrap_intervals, unweighted_average_recall
from emodag.evaluation.comparison import compare, mcnemar, randomisation_p
from emodag.evaluation.scores import confusion_matrix

CLASSES = ("neutral", "happy", "sad", "angry")


def clips(speakers: int, takes: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Truth and speaker of each clip: every speaker has ``takes`` of each class."""
    truth = np.tile(np.repeat(np.arange(len(CLASSES)), takes), speakers)
    return truth, np.repeat(np.arange(speakers), len(truth) // speakers)


def drawn(rng: np.random.Generator, speakers: int, difference: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits of two models on voices that are easy or hard for both; the second is better by ``difference``."""
    truth, speaker = clips(speakers)
    shared = np.clip(rng.normal(0.6, 0.12, (speakers, 1)).repeat(len(CLASSES), axis=1), 0.2, 0.8)
    own = rng.normal(difference, 0.05, (speakers, 1))
    chances = [shared[speaker, truth], np.clip(shared + own, 0, 1)[speaker, truth]]
    return truth, np.stack([rng.random(len(truth)) < chance for chance in chances]), speaker


def test_equals_the_scores_of_each_model_alone():
    rng = np.random.default_rng(0)
    truth, hits, speaker = drawn(rng, 9, 0.05)
    found = compare(truth, hits, speaker, CLASSES, resamples=300, seed=4)
    for model in range(2):
        predicted = np.where(hits[model], truth, (truth + 1) % 4)
        assert found.uar[model] == pytest.approx(unweighted_average_recall(confusion_matrix(truth, predicted, 4)))
        alone = bootstrap_intervals(truth, predicted, speaker, 4, resamples=300, seed=4)
        assert found.uar_intervals[model] == pytest.approx(alone.uar)
    assert found.difference == pytest.approx(found.uar[1] - found.uar[0])
    assert found.support.tolist() == [72] * 4
    assert (found.clips, found.speakers, found.unit) == (288, 9, "speakers")


def test_an_emotion_of_one_speaker_says_nothing_of_others():
    truth, speaker = clips(8)
    truth[truth == 3] = 2
    truth[:4] = 3
    hits = np.random.default_rng(0).random((2, len(truth))) < 0.6
    found = compare(truth, hits, speaker, CLASSES, resamples=100)
    assert found.recall_intervals[3].tolist() == [-1, 1]
    assert (np.abs(found.recall_intervals[:3]) < 1).all()


@pytest.mark.parametrize("difference", [0.0, 0.06])
def test_the_interval_holds_the_true_difference_about_as_often_as_it_says(difference):
    rng = np.random.default_rng(int(100 * difference))
    inside, clear, narrower = [], [], []
    for repeat in range(200):
        truth, hits, speaker = drawn(rng, 16, difference)
        found = compare(truth, hits, speaker, CLASSES, resamples=400, seed=repeat)
        low, high = found.interval
        inside.append(low <= difference <= high)
        clear.append(found.is_clear)
        alone = [np.diff(interval)[0] for interval in found.uar_intervals]
        narrower.append(high - low < np.hypot(*alone))
    assert 0.91 <= np.mean(inside) <= 0.99
    assert np.mean(narrower) > 0.8  # pairing pays: easy voices are easy for both
    assert (np.mean(clear) < 0.09) if difference == 0 else (np.mean(clear) > 0.3)


def test_the_same_model_twice_is_no_better_than_itself():
    truth, hits, speaker = drawn(np.random.default_rng(1), 6, 0.0)
    found = compare(truth, np.stack([hits[0], hits[0]]), speaker, CLASSES)
    assert (found.difference, found.interval, found.superiority, found.p) == (0, (0, 0), 0.5, 1)
    assert found.mcnemar == (0, 0, 1, 1)
    assert not found.is_clear


@pytest.mark.parametrize(
    ("superiority", "told"), [(1.0, "100%"), (0.9985, ">99%"), (0.99, "99%"), (0.5, "50%"), (0.003, "<1%"), (0.0, "0%")]
)
def test_nearly_all_is_not_told_as_all(superiority, told):
    truth, hits, speaker = drawn(np.random.default_rng(1), 6, 0.0)
    assert replace(compare(truth, hits, speaker, CLASSES), superiority=superiority).ahead == told


def test_swapping_the_models_mirrors_everything():
    truth, hits, speaker = drawn(np.random.default_rng(2), 7, 0.1)
    there, back = (compare(truth, each, speaker, CLASSES, seed=1) for each in (hits, hits[::-1]))
    assert back.difference == pytest.approx(-there.difference)
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert back.superiority == pytest.approx(1 - there.superiority)
    assert (back.p, back.mcnemar.mid_p) == (there.p, there.mcnemar.mid_p)


def test_several_seeds_count_as_their_mean():
    truth, speaker = clips(5)
    rng = np.random.default_rng(3)
    seeds = rng.random((3, len(truth))) < 0.7
    other = rng.random(len(truth)) < 0.5
    mean = compare(truth, np.stack([other, seeds.mean(axis=0)]), speaker, CLASSES)
    single = [compare(truth, np.stack([other, each]), speaker, CLASSES) for each in seeds]
    assert mean.uar[1] == pytest.approx(np.mean([each.uar[1] for each in single]))
    assert mean.differences == pytest.approx(np.mean([each.differences for each in single], axis=0))


def test_classes_that_nobody_speaks_are_left_out():
    truth, hits, speaker = drawn(np.random.default_rng(4), 5, 0.0)
    kept = truth != 2
    found = compare(truth[kept], hits[:, kept], speaker[kept], CLASSES)
    assert found.classes == ("neutral", "happy", "angry")
    assert found.recalls.shape == (2, 3)
    assert np.isfinite(found.recall_intervals).all()


def test_of_one_speaker_clips_are_drawn():
    truth, hits, _ = drawn(np.random.default_rng(5), 4, 0.0)
    found = compare(truth, hits, np.zeros(len(truth)), CLASSES)
    assert (found.unit, found.speakers) == ("clips", 1)
    assert found.interval[0] < found.difference < found.interval[1]


@pytest.mark.parametrize("speakers", [3, 5])
def test_few_speakers_never_make_a_clear_difference(speakers):
    truth, speaker = clips(speakers)
    found = compare(truth, np.stack([truth < 0, truth >= 0]), speaker, CLASSES)
    assert found.p == 2 / 2**speakers
    assert found.interval == (1, 1)
    assert not found.is_clear


@pytest.mark.parametrize(
    ("first_only", "second_only", "exact", "mid_p"),
    [
        (1, 7, 0.0703, 0.0391),  # Fagerland, Lydersen and Laake 2013, table 1
        (0, 5, 0.0625, 0.03125),
        (4, 4, 1.0, 1.0),
        (0, 0, 1.0, 1.0),
    ],
)
def test_mcnemar_gives_published_values(first_only, second_only, exact, mid_p):
    agree = 11
    first = np.r_[np.ones(first_only), np.zeros(second_only), np.ones(agree), np.zeros(agree)]
    second = np.r_[np.zeros(first_only), np.ones(second_only), np.ones(agree), np.zeros(agree)]
    found = mcnemar(first, second)
    assert found[:2] == (first_only, second_only)
    assert (found.exact, found.mid_p) == pytest.approx((exact, mid_p), abs=5e-5)


@pytest.mark.parametrize(("first_only", "second_only"), [(59, 121), (30, 12), (3, 200)])
def test_mcnemar_equals_exact_arithmetic(first_only, second_only):
    found = mcnemar(np.arange(first_only + second_only) < first_only, np.arange(first_only + second_only) >= first_only)
    total, fewer = first_only + second_only, min(first_only, second_only)
    tail = sum(comb(total, number) for number in range(fewer + 1))
    assert found.exact == pytest.approx(2 * tail / 2**total, rel=1e-9)
    assert found.mid_p == pytest.approx((2 * tail - comb(total, fewer)) / 2**total, rel=1e-9)


def test_drawn_swaps_approach_all_swaps():
    parts = np.random.default_rng(0).normal(0.02, 0.05, 12)
    every = randomisation_p(parts)
    # With three speakers more, whose parts are nothing, there are too many ways to swap to go through.
    some = randomisation_p(np.r_[parts, np.zeros(3)], resamples=20_000)
    assert some == pytest.approx(every, abs=0.02)


def test_what_cannot_be_compared_is_told():
    with pytest.raises(DataError, match="no clip is left"):
        compare(np.array([], int), np.zeros((2, 0)), np.array([]), CLASSES)
    with pytest.raises(DataError, match=r"3 truths, hits \[2, 4\] and 3 speakers"):
        compare(np.zeros(3, int), np.zeros((2, 4)), np.zeros(3), CLASSES)
