from __future__ import annotations

import numpy as np
import pytest

from emodag.models.neural.batches import Batch, by_length, mixup, padded, shuffled, spec_augment
from emodag.models.neural.inputs import Frames, Vectors
from emodag.params import SpecAugment
from emodag.speech import Speech, sequences_of


def clips_of(*lengths: int, columns: int = 3, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, columns)).astype(np.float32) for length in lengths]


def test_clips_are_padded_behind_their_ends():
    clips = clips_of(2, 5)
    batch = padded(clips, minimum=1)
    assert batch.values.shape == (2, 5, 3)
    np.testing.assert_array_equal(batch.mask, [[True, True, False, False, False], [True] * 5])
    for values, clip in zip(batch.values, clips, strict=True):
        np.testing.assert_array_equal(values[: len(clip)], clip)
        assert not values[len(clip) :].any()


def test_clips_that_are_too_short_are_lengthened_by_frames_that_count():
    batch = padded(clips_of(1, 6), minimum=4)
    np.testing.assert_array_equal(batch.mask.sum(axis=1), [4, 6])
    assert not batch.values[0, 1:].any()
    assert padded(clips_of(1, 2), minimum=4).values.shape == (2, 4, 3)


def test_random_batches_hold_every_clip_once_and_clips_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 500, size=1000)
    drawn = shuffled(lengths, 32, np.random.default_rng(1))
    assert sorted(np.concatenate(drawn)) == list(range(1000))
    assert {len(rows) for rows in drawn} <= {31, 32}
    frames = sum(lengths[rows].max() * len(rows) for rows in drawn)
    at_random = sum(lengths[rows].max() * len(rows) for rows in np.array_split(np.arange(1000), 32))
    assert frames < 1.15 * lengths.sum()
    assert at_random > 1.8 * lengths.sum()


def test_random_batches_repeat_by_seed_and_change_from_epoch_to_epoch():
    lengths = np.random.default_rng(0).integers(1, 500, size=300)
    rng, same = np.random.default_rng(1), np.random.default_rng(1)
    first, second, again = shuffled(lengths, 32, rng), shuffled(lengths, 32, rng), shuffled(lengths, 32, same)
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert {frozenset(rows) for rows in first} != {frozenset(rows) for rows in second}
    firsts = [lengths[rows].mean() for rows in first]
    assert firsts != sorted(firsts)  # batches of short clips do not all come first


def test_batches_by_length_hold_every_clip_once():
    lengths = np.array([5, 1, 9, 3, 7])
    assert [list(rows) for rows in by_length(lengths, 2)] == [[1, 3], [0, 4], [2]]
    assert list(by_length(np.array([], np.int64), 2)) == []


def test_mixup_mixes_values_and_targets_alike():
    rng = np.random.default_rng(0)
    batch = padded(clips_of(2, 4, 6, 3), minimum=1)
    targets = np.eye(4, dtype=np.float32)
    mixed, shares = mixup(batch, targets, 0.4, rng)
    # Each clip has a class of its own, so the shares tell what was mixed.
    np.testing.assert_allclose(mixed.values, np.einsum("ij,jtc->itc", shares, batch.values), atol=1e-6)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (np.count_nonzero(shares, axis=1) == 2).any()
    lengths = batch.mask.sum(axis=1)
    expected = [lengths[np.flatnonzero(row)].max() for row in shares]
    np.testing.assert_array_equal(mixed.mask.sum(axis=1), expected)


def test_mixup_of_weighted_clips_keeps_their_weight():
    targets = np.eye(3, dtype=np.float32) * np.array([[0.5], [1.0], [1.5]], np.float32)
    batch, mixed = mixup(Batch(np.zeros((3, 2), np.float32), None), targets, 1.0, np.random.default_rng(3))
    assert batch.mask is None
    shares = mixed / np.array([0.5, 1.0, 1.5])
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_spec_augment_masks_stretches_of_real_frames_and_columns_of_each_group():
    settings = SpecAugment(time_masks=1, time_share=0.2, column_masks=1, column_share=0.5)
    groups = (8, 1, 4)
    batch = padded([np.ones((length, 13), np.float32) for length in (50, 100)], minimum=1)
    untouched = batch.values.copy()
    hit_columns, hit_frames = set(), 0
    for seed in range(60):
        masked = spec_augment(batch, settings, groups, np.random.default_rng(seed)).values
        for values, length in zip(masked, (50, 100), strict=True):
            silent_frames = ~values[:length].any(axis=1)
            silent_columns = ~values[:length].any(axis=0)
            hit_columns |= set(np.flatnonzero(silent_columns))
            hit_frames = max(hit_frames, silent_frames.sum() / length)
            assert silent_frames.sum() <= 0.2 * length
            assert (np.diff(np.flatnonzero(silent_frames)) == 1).all()
            assert silent_columns[:8].sum() <= 4
            assert silent_columns[9:].sum() <= 2
            expected = np.outer(~silent_frames, ~silent_columns)
            np.testing.assert_array_equal(values[:length], expected)
    assert hit_frames == pytest.approx(0.2, abs=0.03)
    assert hit_columns == set(range(13)) - {8}  # half of a group of one column is none
    np.testing.assert_array_equal(batch.values, untouched)


def test_spec_augment_without_masks_changes_nothing():
    settings = SpecAugment(time_masks=0, time_share=0.5, column_masks=0, column_share=0.5)
    batch = padded(clips_of(9, 4), minimum=1)
    np.testing.assert_array_equal(spec_augment(batch, settings, (3,), np.random.default_rng(0)).values, batch.values)


def test_frames_are_standardised_by_all_frames_of_the_training_clips():
    rng = np.random.default_rng(0)
    clips = [rng.normal((1e4, -3, 7), (2, 0.5, 0), size=(length, 3)) for length in (5, 80, 200)]
    speech = Speech(frames=sequences_of(clips, ("a", "b", "c")))
    inputs = Frames([("c",), ("b", "a")], minimum=1)
    inputs.fit(speech)
    assert inputs.groups == (1, 2)
    batch = inputs.batch(speech, np.array([0, 1, 2]))
    found = batch.values[batch.mask]
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(axis=0), [0, 1, 1], atol=2e-3)
    np.testing.assert_allclose(batch.values[0, :5, 1], (clips[0][:, 1] + 3) / 0.5, atol=0.3)


def test_features_are_standardised_and_noise_of_constant_ones_is_not():
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(5, 3, 500), np.full(500, 7.0), 1e6 + rng.normal(size=500)])
    speech = Speech(features=features.astype(np.float32))
    inputs = Vectors()
    inputs.fit(speech)
    found = inputs.batch(speech, np.arange(500)).values
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(axis=0), [1, 0, 0.01], atol=2e-3)


def test_long_clips_are_read_in_parts(monkeypatch):
    from emodag.models.neural import inputs as module

    values = np.random.default_rng(0).normal(3, 2, size=(1000, 2)).astype(np.float32)
    monkeypatch.setattr(module, "_CHUNK", 64)
    mean, std = module._moments([values[:10], values[10:]])
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(std, values.std(axis=0), rtol=1e-5)
