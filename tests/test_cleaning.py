"""Cleaning mutes and reduces what it says, moves nothing, and leaves silence silent."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from emodag.cleaning import clean
from emodag.params import Clean

RATE = 16000


def settings(*steps: str, gate_db: float = 40.0, window: float = 0.1, strength: float = 1.0) -> Clean:
    return Clean(steps=list(steps), gate_db=gate_db, gate_window=window, denoise_strength=strength, level_db=-26.0)


def decibels(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(samples, dtype=float)))


@pytest.fixture
def speech() -> np.ndarray:
    """A second of a gliding voice in four syllables between two of silence."""
    time = np.arange(RATE) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 60 * np.sin(2 * np.pi * time)) / RATE
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20)) * (
        0.1 + np.sin(4 * np.pi * time) ** 2
    )
    samples = np.zeros(3 * RATE, np.float32)
    samples[RATE : 2 * RATE] = 0.3 * voice / np.abs(voice).max()
    return samples


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)


def test_without_steps_a_clip_stays_as_it_is(speech):
    assert clean(speech, settings()) is speech


@pytest.mark.parametrize("window", [0.02, 0.1, 0.5])
def test_the_gate_mutes_what_is_soft_and_touches_nothing_else(speech, noise, window):
    # The noise peaks at some -57 dB of full scale, the speech at -10.
    noisy = speech + 0.0003 * noise
    gated = clean(noisy, settings("gate", window=window))
    assert len(gated) == len(noisy)
    muted = gated == 0
    hold = int(window / 2 * RATE) + 1
    assert muted[: RATE - hold].all()
    assert muted[2 * RATE + hold :].all()
    assert not muted[RATE + hold : 2 * RATE - hold].any()
    np.testing.assert_array_equal(gated[~muted], noisy[~muted])


@pytest.mark.parametrize("gain", [0.01, 1.0, 2.5])
def test_levelled_clips_are_the_same_however_loud_they_were(speech, gain):
    levelled = clean(speech * np.float32(gain), settings("level"))
    assert levelled.dtype == np.float32
    assert decibels(levelled) == pytest.approx(-26.0, abs=1e-3)
    np.testing.assert_allclose(levelled, clean(speech, settings("level")), rtol=1e-5)


def test_silence_has_no_level():
    np.testing.assert_array_equal(clean(np.zeros(100, np.float32), settings("level")), 0)


@pytest.mark.parametrize("gate_db", [20.0, 40.0, 60.0])
def test_the_gate_closes_at_its_threshold(gate_db):
    steps = np.array([0.0, -gate_db + 1, 0.0, -gate_db - 1])
    samples = np.repeat(10 ** (steps / 20), RATE).astype(np.float32) * np.tile([0.5, -0.5], 2 * RATE).astype(np.float32)
    gated = clean(samples, settings("gate", gate_db=gate_db))
    np.testing.assert_array_equal(gated[: 3 * RATE], samples[: 3 * RATE])
    assert not gated[3 * RATE + RATE // 10 :].any()


def test_the_gate_follows_the_clip_and_not_full_scale(speech, noise):
    noisy = speech + 0.0003 * noise
    muted = clean(noisy, settings("gate")) == 0
    soft = clean((noisy / 128).astype(np.float32), settings("gate")) == 0
    np.testing.assert_array_equal(muted, soft)


@pytest.mark.parametrize("snr", [10.0, 20.0])
def test_noise_reduction_lowers_noise_and_brings_the_speech_closer(speech, noise, snr):
    voiced, pause = slice(RATE + 800, 2 * RATE - 800), slice(0, RATE - 800)
    noisy = speech + noise * np.float32(10 ** ((decibels(speech[voiced]) - snr) / 20))
    reduced = clean(noisy, settings("denoise"))
    assert len(reduced) == len(noisy)
    assert decibels(noisy[pause]) - decibels(reduced[pause]) > 15
    assert decibels((reduced - speech)[voiced]) < decibels((noisy - speech)[voiced]) + 1
    assert decibels(reduced - speech) < decibels(noisy - speech) - 3
    half = clean(noisy, settings("denoise", strength=0.5))
    assert decibels(noisy[pause]) - decibels(half[pause]) == pytest.approx(6, abs=1)


def test_a_clip_without_noise_keeps_its_speech(speech):
    reduced = clean(speech, settings("denoise"))
    assert decibels(reduced - speech) < decibels(speech) - 60


def test_steps_run_in_the_order_that_is_set(speech, noise):
    noisy = speech + 0.003 * noise
    both = clean(noisy, settings("gate", "denoise", gate_db=30))
    np.testing.assert_array_equal(both, clean(clean(noisy, settings("gate", gate_db=30)), settings("denoise")))
    other = clean(noisy, settings("denoise", "gate", gate_db=30))
    assert not np.array_equal(both, other)


@pytest.mark.parametrize("steps", [("gate",), ("denoise",), ("gate", "denoise"), ("denoise", "gate")])
@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(RATE, np.float32),
        np.array([0.5], np.float32),
        np.full(500, 0.1, np.float32),
        np.full(1024, 0.1, np.float32),
        np.ones(RATE, np.float32),
        np.sign(np.sin(np.arange(RATE) / 25)).astype(np.float32),
        np.eye(1, RATE, RATE - 1, dtype=np.float32)[0],
        np.tile(np.float32([1e-30, -1e-30]), RATE),
    ],
    ids=["empty", "silence", "one sample", "31 ms", "64 ms", "DC", "square", "one sample of sound", "denormal"],
)
def test_degenerate_clips_stay_finite_and_as_long(samples, steps):
    kept = samples.copy()
    cleaned = clean(samples, settings(*steps))
    assert cleaned.dtype == np.float32
    assert cleaned.shape == samples.shape
    assert np.isfinite(cleaned).all()
    assert samples.any() or not cleaned.any()
    np.testing.assert_array_equal(samples, kept)
    np.testing.assert_array_equal(cleaned, clean(samples, settings(*steps)))


@pytest.mark.corpora
def test_real_speech_with_noise_comes_back_closer(shared):
    files = sorted((shared / "corpora" / "ravdess").rglob("*.flac"))[:: 24 * 6]
    nearer = []
    for number, file in enumerate(files):
        samples, _ = soundfile.read(file, dtype="float32")
        noise = np.random.default_rng(number).standard_normal(len(samples)).astype(np.float32)
        noisy = samples + noise * np.float32(10 ** ((decibels(samples) - 10) / 20))
        nearer.append(decibels(noisy - samples) - decibels(clean(noisy, settings("denoise")) - samples))
    assert np.mean(nearer) > 2
