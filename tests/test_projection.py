"""Maps of clips: which clips are taken, that they are the same each time, and that neighbours are counted right."""

from __future__ import annotations

import numpy as np
import pytest

from emodag import projection
from emodag.speech import Speech, sequences_of


@pytest.fixture(scope="module")
def clouds():
    """Sixty points around three far centres, [60, 8], and the centre of each."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 20)
    centres = dict(zip("abc", 20 * np.eye(8)[:3], strict=True))
    return np.stack([centres[label] for label in labels]) + rng.normal(size=(60, 8)), labels


def test_neighbours_in_far_clouds_are_of_the_same_cloud(clouds):
    points, labels = clouds
    share, chance = projection.shared_by_neighbours(points, labels)
    assert share == 1.0
    assert chance == pytest.approx(19 / 59)


def test_labels_without_a_place_are_shared_by_chance():
    rng = np.random.default_rng(1)
    share, chance = projection.shared_by_neighbours(rng.normal(size=(600, 4)), rng.integers(0, 3, 600))
    assert share == pytest.approx(chance, abs=0.03)


def test_a_map_keeps_clouds_apart_and_is_the_same_each_time(clouds):
    points, labels = clouds
    components = projection.principal(points)
    places = projection.project(components, seed=0)
    assert places.shape == (60, 2)
    np.testing.assert_array_equal(places, projection.project(components, seed=0))
    assert projection.shared_by_neighbours(places, labels)[0] > 0.95


@pytest.mark.parametrize("clips", [1, 2, 3, 4, 5])
def test_few_clips_have_a_map_too(clips):
    components = projection.principal(np.arange(clips * 3.0).reshape(clips, 3))
    places = projection.project(components, seed=0)
    assert places.shape == (clips, 2)
    assert np.isfinite(places).all()
    assert np.isfinite(projection.shared_by_neighbours(components, np.zeros(clips))).all()


def test_principal_components_do_not_depend_on_units(clouds):
    points, _ = clouds
    np.testing.assert_allclose(
        np.abs(projection.principal(points * [1e3, 1, 1e-3, 1, 1, 1, 1, 1])),
        np.abs(projection.principal(points)),
        atol=1e-8,
    )


def test_a_constant_feature_is_no_trouble(clouds):
    points = np.concatenate([clouds[0], np.ones((60, 1))], axis=1)
    assert np.isfinite(projection.principal(points)).all()


def test_frames_become_their_mean_and_spread():
    clips = [np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 0.0]])]
    speech = Speech(np.array([[7.0], [8.0]]), ("x",), sequences_of(clips, ("a", "b")))
    np.testing.assert_allclose(projection.vectors_of(speech), [[7, 2, 5, 1, 0], [8, 2, 0, 0, 0]])


@pytest.mark.parametrize(
    ("sizes", "most", "shares"),
    [
        ({"a": 100, "b": 100}, 50, {"a": 25, "b": 25}),
        ({"a": 10, "b": 100}, 50, {"a": 10, "b": 40}),
        ({"a": 10, "b": 12}, 50, {"a": 10, "b": 12}),
        ({"a": 100, "b": 3, "c": 100}, 31, {"a": 14, "b": 3, "c": 14}),
    ],
)
def test_corpora_share_the_map_evenly(sizes, most, shares):
    corpora = np.repeat(list(sizes), list(sizes.values()))
    chosen = projection.some_of(corpora, most)
    assert (np.diff(chosen) > 0).all()
    assert dict(zip(*np.unique(corpora[chosen], return_counts=True), strict=True)) == shares
