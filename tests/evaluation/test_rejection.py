from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from emodag import evaluation
from emodag.errors import DataError

CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
TRUTH = np.array([0, 1, 0, 1, 0])
PREDICTED = np.array([0, 1, 1, 1, 1])


def area_by_loop(wrong) -> float:
    return float(np.mean([np.mean(wrong[:answered]) for answered in range(1, len(wrong) + 1)]))


def test_a_curve_by_hand():
    found = evaluation.rejection_of(CONFIDENCE, TRUTH, PREDICTED, 2, 0.65, points=5)
    np.testing.assert_allclose(found.coverages, [0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(found.accuracies, [1, 1, 2 / 3, 3 / 4, 3 / 5])
    np.testing.assert_allclose(found.uars, [1, 1, (1 / 2 + 1) / 2, (1 / 2 + 1) / 2, (1 / 3 + 1) / 2])
    assert found.area == pytest.approx(np.mean([0, 0, 1 / 3, 1 / 4, 2 / 5]))
    assert (found.answered, found.accuracy, found.uar) == (0.6, pytest.approx(2 / 3), pytest.approx(0.75))


def test_the_order_of_clips_is_no_matter():
    order = np.random.default_rng(0).permutation(5)
    first = evaluation.rejection_of(CONFIDENCE, TRUTH, PREDICTED, 2, 0.65)
    again = evaluation.rejection_of(CONFIDENCE[order], TRUTH[order], PREDICTED[order], 2, 0.65)
    assert first.area == again.area
    np.testing.assert_array_equal(first.accuracies, again.accuracies)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_equals_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    confidence, wrong = rng.random(200), rng.random(200) < 0.3
    assert evaluation.area_under_risk(confidence, wrong) == pytest.approx(area_by_loop(wrong[np.argsort(-confidence)]))


def test_equal_confidences_have_the_area_to_be_expected():
    wrong = np.array([True, False, False, True])
    orders = [area_by_loop(wrong[[0, *order]]) for order in permutations((1, 2, 3))]
    assert evaluation.area_under_risk(np.array([0.9, 0.5, 0.5, 0.5]), wrong) == pytest.approx(np.mean(orders))


def test_who_knows_what_it_knows_has_a_smaller_area():
    rng = np.random.default_rng(1)
    wrong = rng.random(300) < 0.3
    confidences = 1.0 - wrong, rng.random(300), 1.0 * wrong
    areas = [evaluation.area_under_risk(confidence, wrong) for confidence in confidences]
    assert areas == sorted(areas)
    assert areas[1] == pytest.approx(wrong.mean(), abs=0.05)


@pytest.mark.parametrize(("threshold", "answered"), [(0.0, 1.0), (0.5, 1.0), (0.91, 0.0)])
def test_all_or_none_are_answered(threshold, answered):
    found = evaluation.rejection_of(CONFIDENCE, TRUTH, PREDICTED, 2, threshold)
    assert found.answered == answered
    assert found.accuracy == (0.6 if answered else None)
    assert found.coverages[-1] == 1
    assert found.accuracies[-1] == 0.6


def test_nothing_cannot_be_rejected():
    with pytest.raises(DataError, match="test set is empty"):
        evaluation.rejection_of(np.empty(0), np.empty(0, int), np.empty(0, int), 2, 0.5)
