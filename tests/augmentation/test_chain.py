"""A chain draws by its probabilities, repeats, and says where speech went."""

from __future__ import annotations

import numpy as np
import pytest

from emodag.augmentation import augment, carry

RATE = 16000


@pytest.fixture(scope="module")
def chain(transforms) -> list:
    return transforms(
        {"kind": "noise", "p": 0.5, "min_snr": 10.0, "max_snr": 30.0},
        {"kind": "time_stretch", "p": 0.5, "min_rate": 0.85, "max_rate": 1.15},
        {"kind": "pitch_shift", "p": 0.5, "min_semitones": -2.0, "max_semitones": 2.0},
        {"kind": "time_shift", "p": 0.5, "min_shift": -0.1, "max_shift": 0.1},
    )


def test_a_chain_repeats_with_the_seed_differs_otherwise_and_leaves_the_original_untouched(chain, vowel):
    samples = vowel()
    kept = samples.copy()
    first, first_settings = augment(samples, chain, np.random.default_rng(1))
    again, again_settings = augment(samples, chain, np.random.default_rng(1))
    np.testing.assert_array_equal(first, again)
    assert first_settings == again_settings
    other, _ = augment(samples, chain, np.random.default_rng(2))
    assert len(other) != len(first) or not np.array_equal(other, first)
    np.testing.assert_array_equal(samples, kept)


def test_draws_lie_in_their_ranges_follow_the_probabilities_and_are_never_none(chain, vowel):
    samples = vowel(seconds=0.2)
    drawn = [augment(samples, chain, np.random.default_rng(seed))[1] for seed in range(200)]
    assert all(drawn)
    counts = {transform.kind: 0 for transform in chain}
    for settings in drawn:
        for setting in settings:
            counts[setting["kind"]] += 1
            if setting["kind"] == "noise":
                assert 10 <= setting["snr"] <= 30
            if setting["kind"] == "time_stretch":
                assert 0.85 <= setting["rate"] <= 1.15
    assert all(70 < count < 140 for count in counts.values()), counts


def test_a_transform_that_is_switched_off_is_never_drawn(transforms, vowel):
    chain = transforms({"kind": "telephone", "p": 0.0}, {"kind": "gain", "p": 0.01, "min_db": -6.0, "max_db": -6.0})
    samples = vowel(seconds=0.1)
    for seed in range(20):
        assert [setting["kind"] for setting in augment(samples, chain, np.random.default_rng(seed))[1]] == ["gain"]
    variant, settings = augment(samples, chain[:1], np.random.default_rng(0))
    assert settings == []
    np.testing.assert_array_equal(variant, samples)


def test_a_chain_of_everything_is_finite_and_within_full_scale(every_transform, vowel, recordings):
    for seed in range(5):
        variant, settings = augment(vowel(level=0.99), every_transform, np.random.default_rng(seed), recordings)
        assert np.isfinite(variant).all()
        assert np.abs(variant).max() <= 1
        kinds = [setting["kind"] for setting in settings if setting["kind"] != "scale"]
        assert kinds == [transform.kind for transform in every_transform]


def test_silence_gets_nothing_from_a_chain_that_needs_sound(transforms):
    chain = transforms({"kind": "telephone"}, {"kind": "gain", "min_db": 6.0, "max_db": 6.0})
    variant, settings = augment(np.zeros(RATE, np.float32), chain, np.random.default_rng(0))
    assert settings == []
    np.testing.assert_array_equal(variant, np.zeros(RATE, np.float32))


def test_what_an_earlier_transform_made_too_short_or_silent_is_spared_by_later_ones(transforms, vowel):
    faster = {"kind": "speed", "min_rate": 2.0, "max_rate": 2.0}
    reduced = {"kind": "denoise", "min_strength": 1.0, "max_strength": 1.0}
    variant, settings = augment(vowel(seconds=0.1), transforms(faster, reduced), np.random.default_rng(0))
    assert [setting["kind"] for setting in settings] == ["speed"]
    assert len(variant) == RATE // 20
    gone = {"kind": "time_shift", "min_shift": 1.0, "max_shift": 1.0}
    noise = {"kind": "noise", "min_snr": 0.0, "max_snr": 0.0}
    variant, settings = augment(vowel(), transforms(gone, noise), np.random.default_rng(0))
    assert [setting["kind"] for setting in settings] == ["time_shift"]
    assert not variant.any()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], [(0.5, 1.0)]),
        ([{"kind": "noise", "snr": 10}, {"kind": "scale", "db": -3.0}], [(0.5, 1.0)]),
        ([{"kind": "time_stretch", "rate": 0.5}], [(1.0, 2.0)]),
        ([{"kind": "speed", "rate": 2.0}], [(0.25, 0.5)]),
        ([{"kind": "time_shift", "shift": 0.25}], [(1.0, 1.5)]),
        ([{"kind": "time_shift", "shift": -0.4}], [(0.0, 0.2)]),
        ([{"kind": "time_shift", "shift": -0.75}], []),
        ([{"kind": "time_stretch", "rate": 0.5}, {"kind": "time_shift", "shift": 0.25}], [(2.0, 3.0)]),
        # What left the clip does not come back.
        ([{"kind": "time_shift", "shift": -0.4}, {"kind": "time_shift", "shift": 0.4}], [(0.8, 1.0)]),
        ([{"kind": "time_shift", "shift": -0.75}, {"kind": "speed", "rate": 0.5}], []),
    ],
)
def test_stretches_of_speech_move_along(settings, expected):
    carried = carry([(0.5, 1.0)], settings, duration=2.0)
    np.testing.assert_allclose(carried, expected, atol=1e-9)


def test_a_marked_burst_is_where_carrying_says_after_every_transform(every_transform, vowel, recordings):
    samples = np.zeros(2 * RATE, np.float32)
    samples[RATE : RATE + RATE // 4] = vowel(300, 0.25)
    for transform in every_transform:
        for seed in range(3):
            variant, settings = augment(samples, [transform], np.random.default_rng(seed), recordings)
            ((start, end),) = carry([(1.0, 1.25)], settings, duration=2.0)
            loud = np.flatnonzero(np.abs(variant) > 0.3 * np.abs(variant).max()) / RATE
            assert loud[0] == pytest.approx(start, abs=0.03), settings
            # Rooms and echoes go on after the sound.
            if transform.kind not in ("echo", "reverb"):
                assert loud[-1] == pytest.approx(end, abs=0.03), settings


def test_a_marked_burst_is_where_carrying_says_after_two_moves(transforms, vowel):
    samples = np.zeros(2 * RATE, np.float32)
    samples[RATE : RATE + RATE // 4] = vowel(300, 0.25)
    chain = transforms(
        {"kind": "time_stretch", "min_rate": 0.8, "max_rate": 0.8},
        {"kind": "time_shift", "min_shift": -0.1, "max_shift": -0.1},
        {"kind": "speed", "min_rate": 1.1, "max_rate": 1.1},
    )
    variant, settings = augment(samples, chain, np.random.default_rng(0))
    ((start, end),) = carry([(1.0, 1.25)], settings, duration=2.0)
    loud = np.flatnonzero(np.abs(variant) > 0.05) / RATE
    assert loud[0] == pytest.approx(start, abs=0.05)
    assert loud[-1] == pytest.approx(end, abs=0.05)
