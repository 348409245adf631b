"""What stands in for slow imports gives the very bits of what it stands in for."""

from __future__ import annotations

import math

import librosa.filters
import numpy as np
import pytest
import scipy.fft
import scipy.signal

from emodag.features import kernels, prosody, spectral


@pytest.mark.parametrize(("n_fft", "n_mels", "fmin", "fmax"), [(512, 64, 50.0, 8000.0), (1024, 40, 0.0, 4000.0)])
def test_mel_bands_are_librosas(n_fft, n_mels, fmin, fmax):
    expected = librosa.filters.mel(sr=16_000, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    np.testing.assert_array_equal(spectral._mel_bank(n_fft, n_mels, fmin, fmax), expected)


@pytest.mark.parametrize("n_fft", [400, 512, 2048])
def test_pitch_classes_are_librosas(n_fft):
    expected = librosa.filters.chroma(sr=16_000, n_fft=n_fft, n_chroma=12, tuning=0.0)
    np.testing.assert_array_equal(spectral._chroma_bank(n_fft), expected)


@pytest.mark.parametrize("length", [400, 401])
def test_the_window_is_scipys(length):
    np.testing.assert_array_equal(spectral.hann(length), scipy.signal.get_window("hann", length, fftbins=True))


@pytest.mark.parametrize("order", [1, 2])
def test_delta_weights_are_scipys(order):
    expected = scipy.signal.savgol_coeffs(spectral.DELTA_WIDTH, order, deriv=order, use="dot")
    np.testing.assert_array_equal(spectral._delta_weights(order), expected.astype(np.float32))


@pytest.mark.parametrize("length", [1, 2, 3, 50, 3000])
@pytest.mark.parametrize("plateaus", [False, True])
def test_peaks_are_scipys(length, plateaus):
    for seed in range(20):
        values = np.random.default_rng(seed).normal(scale=3, size=length) + 60
        values = np.round(values) if plateaus else values
        threshold = np.percentile(values, 99) - 8
        expected, _ = scipy.signal.find_peaks(values, height=threshold, prominence=2)
        np.testing.assert_array_equal(np.flatnonzero(kernels.peaks(values, threshold, 2.0)), expected)


@pytest.mark.parametrize("target", [5500, 11_000, 22_050])
@pytest.mark.parametrize("length", [100, 3001, 16_000])
def test_resampling_is_scipys(length, target):
    samples = np.random.default_rng(length).normal(size=length).astype(np.float32)
    common = math.gcd(16_000, target)
    parts = scipy.fft.next_fast_len(math.ceil(length * common / 16_000), real=True)
    padded = np.pad(samples, (0, parts * 16_000 // common - length))
    expected = scipy.signal.resample(padded, parts * target // common)[: round(length * target / 16_000)]
    np.testing.assert_array_equal(prosody._fourier_resampled(samples, 16_000, target), expected)
