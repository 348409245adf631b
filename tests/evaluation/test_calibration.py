"""Calibration: equal to published implementations, and right where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_calibration_error

from emodag import evaluation
from emodag.errors import DataError


def drawn(seed: int, clips: int = 400, classes: int = 6, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities, float64 [clips, classes], and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = np.exp(scale * rng.standard_normal((clips, classes)))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, (rng.random((clips, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)


def error_of(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    right = probabilities.argmax(axis=1) == labels
    return evaluation.reliability(probabilities.max(axis=1), right, bins).error


def published(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    return float(
        multiclass_calibration_error(
            torch.tensor(probabilities), torch.tensor(labels), probabilities.shape[1], n_bins=bins, norm="l1"
        )
    )


@pytest.mark.parametrize("bins", [2, 7, 10, 15, 100])
@pytest.mark.parametrize("seed", range(4))
def test_the_error_equals_that_of_torchmetrics(seed, bins):
    probabilities, labels = drawn(seed, scale=(0.5, 1.0, 3.0, 8.0)[seed])
    assert error_of(probabilities, labels, bins) == pytest.approx(published(probabilities, labels, bins), abs=2e-6)


@pytest.mark.parametrize(
    "confidences",
    [
        [1.0, 1.0, 1.0],
        [1.0, 0.95, 0.9999999],
        [0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        [0.3, 0.4, 0.40000001, 0.39999999],
        [0.25],
    ],
)
def test_the_error_equals_that_of_torchmetrics_on_edges_of_bins(confidences):
    rest = (1 - np.array(confidences)) / 4
    probabilities = np.column_stack([confidences, *[rest] * 4])
    for labels in (np.zeros(len(rest), int), np.arange(len(rest)) % 2):
        assert error_of(probabilities, labels, 10) == pytest.approx(published(probabilities, labels, 10), abs=1e-6)


def test_brier_score_and_log_loss_equal_those_of_scikit_learn():
    probabilities, labels = drawn(5)
    assert evaluation.brier_score(probabilities, labels) == pytest.approx(
        metrics.brier_score_loss(labels, probabilities, labels=range(6), scale_by_half=False)
    )
    assert evaluation.log_loss(probabilities, labels) == pytest.approx(
        metrics.log_loss(labels, probabilities, labels=range(6))
    )


def test_losses_stay_finite_where_the_truth_has_no_probability():
    impossible = np.array([[1.0, 0.0]])
    assert evaluation.brier_score(impossible, np.array([1])) == 2
    assert 80 < evaluation.log_loss(impossible, np.array([1])) < 90


def test_a_curve_by_hand():
    confidence = np.array([0.55, 0.65, 0.69, 0.95, 1.0])
    right = np.array([False, True, False, True, True])
    curve = evaluation.reliability(confidence, right, 10)
    np.testing.assert_allclose(curve.confidence, [0.55, 0.67, 0.95, 1.0])
    np.testing.assert_allclose(curve.accuracy, [0, 0.5, 1, 1])
    np.testing.assert_allclose(curve.share, [0.2, 0.4, 0.2, 0.2])
    assert curve.error == pytest.approx(0.2 * 0.55 + 0.4 * 0.17 + 0.2 * 0.05)


def test_bins_of_equal_mass_hold_equally_many():
    probabilities, labels = drawn(6, clips=103)
    curve = evaluation.reliability_of_equal_mass(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, 10)
    counts = np.round(curve.share * 103).astype(int)
    assert counts.sum() == 103
    assert set(counts) == {10, 11}
    assert (np.diff(curve.confidence) > 0).all()


def test_believable_probabilities_have_little_error_and_overconfident_ones_have_theirs():
    probabilities, labels = drawn(7, clips=20_000)
    found = evaluation.calibration_of(probabilities, labels, np.ones(20_000), 10)
    assert found.raw.ece < 0.015
    assert found.raw.ece_equal_mass < 0.015
    sharp = evaluation.tempered(probabilities, 0.4)
    gap = sharp.max(axis=1).mean() - np.mean(sharp.argmax(axis=1) == labels)
    assert gap > 0.1
    assert error_of(sharp, labels, 10) == pytest.approx(gap, abs=0.01)


def test_the_temperature_that_was_applied_is_found_and_mends_what_it_broke():
    probabilities, labels = drawn(8, clips=5000)
    sharp = evaluation.tempered(probabilities, 0.5)
    temperature = evaluation.fit_temperature(sharp[:2500], labels[:2500])
    assert temperature == pytest.approx(2, rel=0.08)
    found = evaluation.calibration_of(sharp[2500:], labels[2500:], np.full(2500, temperature), 10)
    assert found.temperature == pytest.approx(temperature)
    assert found.calibrated.ece < 0.03 < found.raw.ece
    assert found.calibrated.log_loss < found.raw.log_loss
    assert found.calibrated.brier < found.raw.brier


def test_decisions_stay_under_any_temperature():
    probabilities, _ = drawn(9)
    for temperature in (0.1, 0.7, 3.0, 20.0):
        tempered = evaluation.tempered(probabilities, temperature)
        np.testing.assert_allclose(tempered.sum(axis=1), 1)
        np.testing.assert_array_equal(tempered.argmax(axis=1), probabilities.argmax(axis=1))


def test_each_clip_has_the_temperature_of_its_own_model():
    probabilities, labels = drawn(10, clips=6)
    temperatures = np.array([1.0, 1, 1, 4, 4, 4])
    tempered = evaluation.tempered(probabilities, temperatures)
    np.testing.assert_allclose(tempered[:3], probabilities[:3])
    np.testing.assert_allclose(tempered[3:], evaluation.tempered(probabilities[3:], 4.0))
    assert evaluation.calibration_of(probabilities, labels, temperatures, 10).temperature == pytest.approx(2)


def test_restricting_to_shared_classes_and_tempering_can_be_done_in_either_order():
    probabilities, _ = drawn(11)
    kept = probabilities[:, :3] / probabilities[:, :3].sum(axis=1, keepdims=True)
    after = evaluation.tempered(probabilities, 2.5)[:, :3]
    np.testing.assert_allclose(evaluation.tempered(kept, 2.5), after / after.sum(axis=1, keepdims=True))


def test_nothing_cannot_be_calibrated():
    assert evaluation.fit_temperature(np.empty((0, 3)), np.empty(0, int)) == 1
    with pytest.raises(DataError, match="test set is empty"):
        evaluation.calibration_of(np.empty((0, 3)), np.empty(0, int), np.empty(0), 10)
