"""Which stretches are one speaker's, on embeddings whose speakers are known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from emodag.diarization.clustering import _EACH, OFFSET, agreement, cluster


def voices(*sizes: int, spread: float = 0.5, length: float = 2.4, dimension: int = 64) -> np.ndarray:
    """So many embeddings around orthogonal directions; their products are about ``length`` squared, or 0."""
    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(dimension)[: len(sizes)], sizes, axis=0)
    points = centres + generator.normal(0, spread / np.sqrt(dimension), centres.shape)
    return length * points / np.linalg.norm(points, axis=1, keepdims=True)


def expected(*sizes: int) -> list[int]:
    return np.repeat(np.arange(len(sizes)), sizes).tolist()


@pytest.mark.parametrize("sizes", [(1,), (12,), (6, 6), (20, 4), (6, 7, 8), (10,) * 5, (8,) * 10])
def test_the_number_of_speakers_is_found(sizes):
    assert cluster(voices(*sizes), np.full(sum(sizes), 1.5)).tolist() == expected(*sizes)


@pytest.mark.parametrize(
    ("speakers", "sizes"), [(1, (6, 6)), (2, (6, 6)), (3, (6, 6)), (5, (2,) * 5), (4, (3,)), (2, (1,))]
)
def test_a_given_number_is_kept_up_to_one_per_stretch(speakers, sizes):
    assert len(set(cluster(voices(*sizes), np.ones(sum(sizes)), speakers).tolist())) == min(speakers, sum(sizes))


def test_speakers_are_numbered_in_order_of_appearance():
    embeddings = np.roll(voices(5, 5, 5), 5, axis=0)
    assert cluster(embeddings, np.ones(15)).tolist() == expected(5, 5, 5)


def test_who_says_less_than_a_second_is_no_speaker_of_their_own():
    embeddings, durations = voices(12, 2), np.r_[np.full(12, 2.0), 0.3, 0.3]
    assert set(cluster(embeddings, durations).tolist()) == {0}
    assert set(cluster(embeddings, durations, 2).tolist()) == {0, 1}


def test_nothing_is_nobody():
    assert cluster(np.empty((0, 64)), np.empty(0)).tolist() == []


def test_copies_of_one_sound_are_one_speaker():
    assert set(cluster(np.repeat(voices(1), 8, axis=0), np.ones(8)).tolist()) == {0}


def test_agreement_is_the_weighted_mean_over_pairs():
    embeddings, durations, labels = voices(3, 2), np.array([1.0, 2, 3, 4, 5]), np.array([0, 0, 1, 1, 1])
    pairs = list(combinations(range(5), 2))
    weights = [np.sqrt(durations[i] * durations[j]) for i, j in pairs]
    odds = [(embeddings[i] @ embeddings[j] + OFFSET) * (labels[i] == labels[j]) for i, j in pairs]
    by_hand = np.dot(weights, odds) / np.sum(weights) - _EACH
    assert agreement(embeddings, durations, labels) == pytest.approx(by_hand)
