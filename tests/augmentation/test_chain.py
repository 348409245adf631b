"""Each transform does what it says, measured on the audio."""

from __future__ import annotations

import numpy as np
import pytest

from emodag.augmentation import augment, carry
from emodag.params import Noise, PitchShift, TimeShift, TimeStretch

RATE = 16000


def vowel(pitch: float = 120.0, seconds: float = 1.5, level: float = 0.2) -> np.ndarray:
    """A harmonic sound with the envelope of a vowel."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.exp(-(((k * pitch - 700) / 900) ** 2)) * np.sin(2 * np.pi * k * pitch * time) for k in range(1, 30))
    return (level * wave / np.abs(wave).max()).astype(np.float32)


def pitch_of(samples: np.ndarray) -> float:
    """F0 in Hz by the autocorrelation of the middle second."""
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4].astype(float)
    spectrum = np.fft.rfft(middle, 2 * len(middle))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    lags = np.arange(RATE // 400, RATE // 60)
    best = lags[np.argmax(correlation[lags])]
    left, peak, right = correlation[best - 1 : best + 2]
    return RATE / (best + 0.5 * (left - right) / (left - 2 * peak + right))


def apply(transform, samples: np.ndarray, seed: int = 0) -> tuple[np.ndarray, dict]:
    variant, (setting,) = augment(samples, [transform], np.random.default_rng(seed))
    return variant, setting


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 30.0])
@pytest.mark.parametrize("level", [0.01, 0.1])
def test_noise_has_the_ratio_that_was_asked_for(snr, level):
    clean = vowel(level=level, seconds=3)
    noisy, setting = apply(Noise(kind="noise", p=1, min_snr=snr, max_snr=snr), clean)
    noise = noisy - clean
    measured = 10 * np.log10(np.mean(clean.astype(float) ** 2) / np.mean(noise.astype(float) ** 2))
    assert measured == pytest.approx(snr, abs=0.01)
    assert setting["snr"] == snr
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert spectrum[: len(spectrum) // 2].sum() == pytest.approx(spectrum[len(spectrum) // 2 :].sum(), rel=0.1)


@pytest.mark.parametrize("rate", [0.7, 0.85, 1.15, 1.5])
def test_stretching_changes_the_duration_and_keeps_pitch_and_end(rate):
    samples = np.concatenate([vowel(120), np.zeros(RATE // 4, np.float32), vowel(200, 0.5)])
    stretched, setting = apply(TimeStretch(kind="time_stretch", p=1, min_rate=rate, max_rate=rate), samples)
    assert setting["rate"] == rate
    assert len(samples) / len(stretched) == pytest.approx(rate, rel=0.01)
    assert pitch_of(stretched[: int(1.4 * RATE / rate)]) == pytest.approx(120, rel=0.02)
    assert pitch_of(stretched[-int(0.45 * RATE / rate) :]) == pytest.approx(200, rel=0.03)


@pytest.mark.parametrize("semitones", [-4.0, -1.0, 2.0, 5.0])
def test_shifting_pitch_changes_f0_and_keeps_the_duration(semitones):
    samples = vowel(150)
    shifted, setting = apply(
        PitchShift(kind="pitch_shift", p=1, min_semitones=semitones, max_semitones=semitones), samples
    )
    assert setting["semitones"] == semitones
    assert len(shifted) == len(samples)
    assert pitch_of(shifted) / pitch_of(samples) == pytest.approx(2 ** (semitones / 12), rel=0.02)


@pytest.mark.parametrize("shift", [-0.25, 0.1, 0.5])
def test_shifting_in_time_moves_the_samples_and_leaves_silence(shift):
    samples = vowel()
    shifted, _ = apply(TimeShift(kind="time_shift", p=1, min_shift=shift, max_shift=shift), samples)
    moved = round(shift * len(samples))
    assert len(shifted) == len(samples)
    if moved > 0:
        np.testing.assert_array_equal(shifted[moved:], samples[:-moved])
        assert not shifted[:moved].any()
    else:
        np.testing.assert_array_equal(shifted[:moved], samples[-moved:])
        assert not shifted[moved:].any()


CHAIN = [
    Noise(kind="noise", p=0.5, min_snr=10, max_snr=30),
    TimeStretch(kind="time_stretch", p=0.5, min_rate=0.85, max_rate=1.15),
    PitchShift(kind="pitch_shift", p=0.5, min_semitones=-2, max_semitones=2),
    TimeShift(kind="time_shift", p=0.5, min_shift=-0.1, max_shift=0.1),
]


def test_a_chain_repeats_with_the_seed_differs_otherwise_and_leaves_the_original_untouched():
    samples = vowel()
    kept = samples.copy()
    first, first_settings = augment(samples, CHAIN, np.random.default_rng(1))
    again, again_settings = augment(samples, CHAIN, np.random.default_rng(1))
    np.testing.assert_array_equal(first, again)
    assert first_settings == again_settings
    other, _ = augment(samples, CHAIN, np.random.default_rng(2))
    assert len(other) != len(first) or not np.array_equal(other, first)
    np.testing.assert_array_equal(samples, kept)


def test_draws_lie_in_their_ranges_follow_the_probabilities_and_are_never_none():
    samples = vowel(seconds=0.2)
    drawn = [augment(samples, CHAIN, np.random.default_rng(seed))[1] for seed in range(200)]
    assert all(drawn)
    counts = {transform.kind: 0 for transform in CHAIN}
    for settings in drawn:
        for setting in settings:
            counts[setting["kind"]] += 1
            if setting["kind"] == "noise":
                assert 10 <= setting["snr"] <= 30
            if setting["kind"] == "time_stretch":
                assert 0.85 <= setting["rate"] <= 1.15
    assert all(70 < count < 140 for count in counts.values()), counts


@pytest.mark.parametrize(
    "samples",
    [
        vowel(seconds=0.01),
        np.zeros(RATE, np.float32),
        np.ones(RATE, np.float32),
        np.sign(vowel(100)).astype(np.float32),
        np.array([0.5], np.float32),
    ],
    ids=["10 ms", "silence", "DC", "full-scale square", "one sample"],
)
@pytest.mark.parametrize("seed", range(6))
def test_degenerate_clips_stay_finite_and_within_full_scale(samples, seed):
    variant, settings = augment(samples, CHAIN, np.random.default_rng(seed))
    assert np.isfinite(variant).all()
    assert len(variant) > 0
    assert np.abs(variant).max() <= 1
    assert settings


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], [(0.5, 1.0)]),
        ([{"kind": "noise", "snr": 10}], [(0.5, 1.0)]),
        ([{"kind": "time_stretch", "rate": 0.5}], [(1.0, 2.0)]),
        ([{"kind": "time_shift", "shift": 0.25}], [(1.0, 1.5)]),
        ([{"kind": "time_shift", "shift": -0.4}], [(0.0, 0.2)]),
        ([{"kind": "time_shift", "shift": -0.75}], []),
        ([{"kind": "time_stretch", "rate": 0.5}, {"kind": "time_shift", "shift": 0.25}], [(2.0, 3.0)]),
    ],
)
def test_stretches_of_speech_move_along(settings, expected):
    carried = carry([(0.5, 1.0)], settings, duration=2.0)
    np.testing.assert_allclose(carried, expected, atol=1e-9)


def test_a_marked_burst_is_where_carrying_says():
    samples = np.zeros(2 * RATE, np.float32)
    samples[RATE : RATE + RATE // 4] = vowel(300, 0.25)
    chain = [
        TimeStretch(kind="time_stretch", p=1, min_rate=0.8, max_rate=0.8),
        TimeShift(kind="time_shift", p=1, min_shift=-0.1, max_shift=-0.1),
    ]
    variant, settings = augment(samples, chain, np.random.default_rng(0))
    ((start, end),) = carry([(1.0, 1.25)], settings, duration=2.0)
    loud = np.flatnonzero(np.abs(variant) > 0.05) / RATE
    assert loud[0] == pytest.approx(start, abs=0.05)
    assert loud[-1] == pytest.approx(end, abs=0.05)


@pytest.mark.parametrize("rate", [0.5, 0.8, 2.0, 4.0])
def test_stretching_repeats_over_the_whole_range_that_params_accept(rate):
    samples = vowel() + (0.01 * np.random.default_rng(0).standard_normal(int(1.5 * RATE))).astype(np.float32)
    transform = TimeStretch(kind="time_stretch", p=1, min_rate=rate, max_rate=rate)
    first, again = (apply(transform, samples)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("rate", [0.3, 0.49, 5.0])
def test_stretching_that_could_not_repeat_is_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        TimeStretch(kind="time_stretch", p=1, min_rate=rate, max_rate=rate)


@pytest.mark.parametrize("semitones", [-24.0, 24.0])
def test_shifting_pitch_repeats_at_its_extremes(semitones):
    transform = PitchShift(kind="pitch_shift", p=1, min_semitones=semitones, max_semitones=semitones)
    first, again = (apply(transform, vowel())[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("snr", [0.0, 20.0])
@pytest.mark.parametrize("seed", range(5))
def test_noise_on_a_10_ms_clip_has_its_ratio(snr, seed):
    clean = vowel(seconds=0.01)
    noisy, _ = apply(Noise(kind="noise", p=1, min_snr=snr, max_snr=snr), clean, seed)
    measured = 10 * np.log10(np.mean(clean.astype(float) ** 2) / np.mean((noisy - clean).astype(float) ** 2))
    assert measured == pytest.approx(snr, abs=0.01)
