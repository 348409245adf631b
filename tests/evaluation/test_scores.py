from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from emodag import evaluation
from emodag.errors import DataError


@pytest.fixture(params=range(6))
def labels(request):
    """Truth, predictions and speakers with skewed classes, some of which are missing from the truth."""
    rng = np.random.default_rng(request.param)
    classes = int(rng.integers(2, 9))
    present = rng.permutation(classes)[: max(1, classes - request.param % 3)]
    clips = int(rng.integers(5, 300))
    truth = rng.choice(present, size=clips, p=rng.dirichlet(np.ones(len(present))))
    predicted = np.where(rng.random(clips) < 0.6, truth, rng.integers(0, classes, clips))
    return truth, predicted, rng.integers(0, 7, clips), classes


def test_scores_equal_those_of_scikit_learn(labels):
    truth, predicted, _, classes = labels
    confusion = evaluation.confusion_matrix(truth, predicted, classes)
    every, present = range(classes), sorted(set(truth))
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(truth, predicted, labels=every))
    with np.errstate(all="ignore"):
        balanced = metrics.balanced_accuracy_score(truth, predicted)
    assert evaluation.unweighted_average_recall(confusion) == pytest.approx(balanced, abs=1e-12)
    assert evaluation.weighted_accuracy(confusion) == pytest.approx(metrics.accuracy_score(truth, predicted), abs=1e-12)
    f1 = metrics.f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
    assert evaluation.macro_f1(confusion) == pytest.approx(f1, abs=1e-12)
    p, r, f, _ = metrics.precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0)
    np.testing.assert_allclose(evaluation.precision(confusion), p, atol=1e-12)
    np.testing.assert_allclose(evaluation.recall(confusion), r, atol=1e-12)
    np.testing.assert_allclose(evaluation.f1(confusion), f, atol=1e-12)


def test_uar_goes_over_the_classes_of_the_truth_only():
    confusion = evaluation.confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 4)
    assert evaluation.unweighted_average_recall(confusion) == 0.75


def test_bootstrap_equals_a_plain_loop_over_speakers(labels):
    truth, predicted, speakers, classes = labels
    found = evaluation.bootstrap_intervals(truth, predicted, speakers, classes, resamples=200, seed=5)
    names = np.unique(speakers)
    drawn = np.random.default_rng(5).multinomial(len(names), np.full(len(names), 1 / len(names)), size=200)
    uars = []
    for counts in drawn:
        rows = np.concatenate([np.tile(np.flatnonzero(speakers == n), c) for n, c in zip(names, counts, strict=True)])
        uars.append(np.mean([np.mean(predicted[rows][truth[rows] == c] == c) for c in set(truth[rows])]))
    np.testing.assert_allclose(found.uar, np.quantile(uars, [0.025, 0.975]), atol=1e-12)


def test_interval_covers_the_true_uar_of_new_speakers_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered, true_uar = 0, 0.6
    for trial in range(200):
        skill = np.clip(rng.normal(true_uar, 0.12, size=30), 0, 1)
        speakers = np.repeat(np.arange(30), 20)
        truth = np.tile(np.repeat(np.arange(2), 10), 30)
        predicted = np.where(rng.random(600) < skill[speakers], truth, 1 - truth)
        low, high = evaluation.bootstrap_intervals(truth, predicted, speakers, 2, resamples=300, seed=trial).uar
        covered += low <= true_uar <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_speakers_make_the_interval_wider_than_clips_where_they_differ():
    speakers = np.repeat(np.arange(8), 50)
    truth = np.tile(np.arange(2), 200)
    predicted = np.where(speakers % 2 == 0, truth, 1 - truth)
    by_speaker = evaluation.bootstrap_intervals(truth, predicted, speakers, 2).uar
    by_clip = evaluation.bootstrap_intervals(truth, predicted, np.arange(400), 2).uar
    assert by_speaker[1] - by_speaker[0] > 3 * (by_clip[1] - by_clip[0])


def test_one_speaker_falls_back_to_clips_and_says_so():
    truth = np.tile(np.arange(3), 10)
    found = evaluation.bootstrap_intervals(truth, (truth + (np.arange(30) % 4 == 0)) % 3, ["s"] * 30, 3)
    assert found.unit == "clips"
    assert 0 < found.uar[0] < found.uar[1] < 1


def test_an_emotion_of_one_speaker_says_nothing_of_others():
    speakers = np.repeat(list("abcdefgh"), 4)
    truth = np.tile([0, 0, 1, 1], 8)
    truth[:2] = 2
    found = evaluation.evaluate(truth, np.where(np.arange(32) == 1, 0, truth), speakers, ("happy", "sad", "angry"))
    rows = found.per_class()
    assert rows["angry"]["recall"] == 0.5
    assert (rows["angry"]["recall_low"], rows["angry"]["recall_high"]) == (0, 1)
    assert (rows["sad"]["recall_low"], rows["sad"]["recall_high"]) == (1, 1)


def test_counts_are_means_over_seeds():
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = evaluation.evaluate(truth, predicted, list("aabb"), ("happy", "sad"), repeats=2)
    np.testing.assert_array_equal(found.counts, [[0.5, 0.5], [0, 1]])
    assert found.counts.sum() == found.clips


def test_intervals_repeat_with_the_seed_and_widen_with_confidence(labels):
    truth, predicted, speakers, classes = labels
    first, again = (evaluation.bootstrap_intervals(truth, predicted, speakers, classes, seed=1) for _ in range(2))
    assert first.uar == again.uar
    narrow = evaluation.bootstrap_intervals(truth, predicted, speakers, classes, seed=1, confidence=0.5).uar
    assert first.uar[0] <= narrow[0] <= narrow[1] <= first.uar[1]


def test_nothing_is_nan(labels):
    truth, predicted, speakers, classes = labels
    scores = evaluation.evaluate(truth, predicted, speakers, tuple(map(str, range(classes))), resamples=100)
    numbers = [*scores.summary().values(), *(v for row in scores.per_class().values() for v in row.values())]
    assert np.isfinite(numbers).all()
    assert list(scores.per_class()) == list(scores.present) == [str(c) for c in sorted(set(truth))]


def test_summary_has_the_columns_of_the_metrics_file():
    scores = evaluation.evaluate(np.array([0, 1]), np.array([0, 1]), ["a", "b"], ("happy", "sad"))
    assert scores.summary() == {
        "uar": 1.0, "uar_low": 1.0, "uar_high": 1.0, "wa": 1.0, "f1": 1.0, "clips": 2, "speakers": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "predicted", "speakers", "message"),
    [
        ([], [], [], "the test set is empty"),
        ([0, 1], [0], ["a", "b"], "2 truths and 1 predictions"),
        ([0, 2], [0, 1], ["a", "b"], "each truth must be one integer from 0 to 1"),
        ([0, 1], [0, -1], ["a", "b"], "each prediction must be one integer"),
        ([0.0, np.nan], [0, 1], ["a", "b"], "each truth must be one integer"),
        ([0, 1], [0, 1], ["a"], "1 speakers are given for 2 clips"),
    ],
)
def test_degenerate_input_is_a_clear_error(truth, predicted, speakers, message):
    with pytest.raises(DataError, match=message):
        evaluation.evaluate(np.array(truth), np.array(predicted), np.array(speakers), ("happy", "sad"))


@pytest.mark.parametrize(
    "score", [evaluation.unweighted_average_recall, evaluation.weighted_accuracy, evaluation.macro_f1]
)
def test_an_empty_confusion_matrix_has_no_score(score):
    with pytest.raises(DataError, match="counts no clip"):
        score(np.zeros((3, 3), int))


def voices(rng, speakers, clips, spread, classes=3):
    """Truth, predictions and speakers, where each speaker has a skill of their own around 60 %."""
    speaker = np.repeat(np.arange(speakers), clips * classes)
    truth = np.tile(np.repeat(np.arange(classes), clips), speakers)
    skill = np.clip(rng.normal(0.6, spread, speakers), 0, 1)[speaker]
    missed = (truth + rng.integers(1, classes, len(truth))) % classes
    return truth, np.where(rng.random(len(truth)) < skill, truth, missed), speaker


@pytest.mark.parametrize(("spread", "lowest"), [(0.0, 0.88), (0.1, 0.88), (0.25, 0.85)])
def test_intervals_hold_whether_speakers_differ_or_not(spread, lowest):
    rng = np.random.default_rng(1)
    expected = np.clip(rng.normal(0.6, spread, 200_000), 0, 1).mean()
    covered = 0
    for trial in range(200):
        low, high = evaluation.bootstrap_intervals(*voices(rng, 20, 6, spread), 3, resamples=300, seed=trial).uar
        covered += low <= expected <= high
    assert lowest <= covered / 200 <= 0.99


def test_expanded_intervals_keep_their_promise_with_few_speakers():
    rng, covered = np.random.default_rng(2), {"plain": 0, "expanded": 0}
    for trial in range(200):
        truth, predicted, speaker = voices(rng, 6, 6, 0.15)
        uars = evaluation.resample(speaker, resamples=400, seed=trial).uar(truth, predicted, 3)
        for kind, units in (("plain", None), ("expanded", 6)):
            low, high = evaluation.percentiles(uars, 0.95, units=units)
            covered[kind] += low <= 0.6 <= high
    assert covered["plain"] < 0.92 * 200 < covered["expanded"]


def test_percentiles_leave_out_what_is_not_known():
    values = np.r_[np.nan, np.linspace(0, 1, 101), np.nan]
    assert evaluation.percentiles(values, 0.9) == pytest.approx((0.05, 0.95))
    low, high = evaluation.percentiles(values, 0.9, units=5)
    assert low < 0.05 < 0.95 < high
    for broken in (
        {"values": np.array([np.nan]), "confidence": 0.9},
        {"values": values, "confidence": 0.9, "units": 1},
    ):
        with pytest.raises(DataError, match="two speakers at least"):
            evaluation.percentiles(**broken)


def test_resampled_uar_of_some_rows_is_nan_only_where_none_is_drawn():
    speakers = np.repeat(["a", "b"], 10)
    truth = np.tile([0, 1], 10)
    drawn = evaluation.resample(speakers, resamples=50, seed=0)
    uars = drawn.uar(truth, np.where(speakers == "a", truth, 0), 2, speakers == "a")
    without = drawn.drawn[:, 0] == 0
    assert 0 < without.sum() < 50
    assert np.isnan(uars[without]).all()
    assert (uars[~without] == 1).all()


@pytest.mark.parametrize("speakers", [5, 1])
def test_models_of_several_seeds_count_clips_once_and_average(speakers):
    rng = np.random.default_rng(3)
    truth, _, speaker = voices(rng, speakers, 8, 0)
    by_seed = [np.where(rng.random(len(truth)) < skill, truth, (truth + 1) % 3) for skill in (0.5, 0.7, 0.9)]
    scores = evaluation.evaluate(
        np.repeat(truth, 3),
        np.stack(by_seed, axis=1).ravel(),
        np.repeat(speaker, 3),
        ("happy", "sad", "angry"),
        repeats=3,
    )
    single = [evaluation.evaluate(truth, each, speaker, ("happy", "sad", "angry")) for each in by_seed]
    assert scores.clips == single[0].clips == len(truth)
    assert scores.summary()["uar"] == pytest.approx(np.mean([each.summary()["uar"] for each in single]))
    assert [row["support"] for row in scores.per_class().values()] == [8 * speakers] * 3
    # What is drawn is a speaker or a clip with all of its rows: having each three times makes nothing surer.
    same = evaluation.evaluate(
        *(np.repeat(each, 3) for each in (truth, by_seed[0], speaker)), ("happy", "sad", "angry"), repeats=3
    )
    assert same.intervals.uar == pytest.approx(single[0].intervals.uar)
