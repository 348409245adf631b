"""Frame features from one short-time Fourier transform (STFT) per clip, after librosa's definitions and conventions.

Frame ``t`` is centred on sample ``t * hop_length``; the clip is padded with zeros (zero-crossing rate: with its edge
values) by half a frame at both ends, so a clip of ``n`` samples has ``1 + n // hop_length`` frames. The window is a
periodic Hann window of ``win_length`` samples, centred in ``n_fft``. Every feature equals librosa 0.11's function of
the same name (in brackets) on the same STFT:

- ``log_mel_*``: power in Slaney-normalised mel bands, in dB (``power_to_db(melspectrogram)``): floored at -100 dB and
  at ``top_db`` below the loudest band of the clip, so silence stays finite and room noise does not dominate;
- ``mfcc_*``: the first coefficients of the orthonormal DCT-II over the log-mel bands (``mfcc``);
- ``chroma_*``: power by pitch class, in each frame relative to its strongest, for a tuning of A4 = 440 Hz
  (``chroma_stft`` with ``tuning=0``: an estimate per clip would make the same note mean two things in two clips);
- ``spectral_centroid``, ``spectral_bandwidth``: mean and spread of the magnitude spectrum, in Hz;
- ``rms``, ``zero_crossing_rate``: over ``win_length`` samples, without a window (``rms``, ``zero_crossing_rate``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from emodag.audio import SAMPLE_RATE
from emodag.params import Featurize

CHROMA = 12
FLOOR = 1e-10  # power, as librosa's amin: -100 dB
ZERO = 1e-10  # samples below this magnitude have no sign, as in librosa

# Samples transformed at a time: their spectra stay within a core's cache, whatever the length of the clip.
BLOCK = 3 * 2**15


class _Bank(NamedTuple):
    """What depends on the settings alone: ``bands`` float32 [bins, n_mels + CHROMA], and

    ``moments`` float32 [bins, 2]: ones and the frequencies of the bins in Hz, for sums over a spectrum.
    """

    window: np.ndarray
    bands: np.ndarray
    moments: np.ndarray


def names(settings: Featurize) -> dict[str, tuple[str, ...]]:
    """The features that :func:`frames` computes, in the order of its columns, by group."""
    return {
        "log_mel": tuple(f"log_mel_{band:02d}" for band in range(settings.n_mels)),
        "mfcc": tuple(f"mfcc_{coefficient:02d}" for coefficient in range(settings.n_mfcc)),
        "chroma": tuple(f"chroma_{pitch_class:02d}" for pitch_class in range(CHROMA)),
        "centroid": ("spectral_centroid",),
        "bandwidth": ("spectral_bandwidth",),
        "rms": ("rms",),
        "zero_crossings": ("zero_crossing_rate",),
    }


def frames(samples: np.ndarray, settings: Featurize) -> np.ndarray:
    """All frame features of a clip, float32 [frames, features]; never NaN or infinite for finite samples.

    Args:
        samples: float32 [samples] at 16 kHz, at least one.
        settings: window, hop, bands.
    """
    n_fft, win_length, hop_length, n_mels = (
        settings.n_fft,
        settings.win_length,
        settings.hop_length,
        settings.n_mels,
    )
    bank = _bank(n_fft, win_length, n_mels, settings.fmin, settings.fmax)
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    # Only win_length of a frame's n_fft samples pass the window, so only those are gathered; where they lie within
    # n_fft turns the phase of the spectrum, not its power.
    padded = np.pad(samples, win_length // 2)
    windows = sliding_window_view(padded, win_length)[::hop_length]
    mel_end, mfcc_end = n_mels, n_mels + settings.n_mfcc
    values = np.empty((len(windows), mfcc_end + CHROMA + 4), dtype=np.float32)
    mel, chroma = values[:, :mel_end], values[:, mfcc_end : mfcc_end + CHROMA]
    centroid, bandwidth, rms, zero_crossings = values[:, mfcc_end + CHROMA :].T

    # Buffers are made once: fresh memory for every block costs more than what is computed in it.
    step, bins = min(max(1, BLOCK // n_fft), len(windows)), n_fft // 2 + 1
    frame = np.zeros((step, n_fft), dtype=np.float32)
    power, deviation = np.empty((2, step, bins), dtype=np.float32)
    for start in range(0, len(windows), step):
        block = windows[start : start + step]
        here, rows = slice(start, start + len(block)), slice(len(block))
        np.multiply(block, bank.window, out=frame[rows, :win_length])
        _power(frame[rows], out=power[rows])
        banded = power[rows] @ bank.bands
        mel[here], chroma[here] = banded[:, :n_mels], _relative(banded[:, n_mels:])
        magnitude = np.sqrt(power[rows], out=power[rows])
        centroid[here], bandwidth[here] = _moments(magnitude, bank.moments, deviation[rows])
        np.einsum("ij,ij->i", block, block, out=rms[here])
    rms /= win_length
    np.sqrt(rms, out=rms)
    zero_crossings[:] = _zero_crossing_rate(samples, win_length, hop_length)

    np.maximum(mel, FLOOR, out=mel)
    np.log(mel, out=mel)
    mel *= 10 / np.log(10)
    np.maximum(mel, mel.max() - settings.top_db, out=mel)
    values[:, mel_end:mfcc_end] = scipy.fft.dct(mel, type=2, norm="ortho", axis=1)[:, : settings.n_mfcc]
    return values


@lru_cache(maxsize=8)
def _bank(n_fft: int, win_length: int, n_mels: int, fmin: float, fmax: float) -> _Bank:
    # Imported here because librosa's filters bring numba, which `import emodag` shall not wait for.
    import librosa.filters
    import scipy.signal

    window = scipy.signal.get_window("hann", win_length, fftbins=True).astype(np.float32)
    mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    chroma = librosa.filters.chroma(sr=SAMPLE_RATE, n_fft=n_fft, n_chroma=CHROMA, tuning=0.0)
    bands = np.ascontiguousarray(np.concatenate([mel, chroma]).T, dtype=np.float32)
    frequencies = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    moments = np.stack([np.ones_like(frequencies), frequencies], axis=1).astype(np.float32)
    return _Bank(window, bands, moments)


def _power(frame: np.ndarray, out: np.ndarray) -> None:
    """The power spectrum [frames, bins] of windowed frames [frames, n_fft]."""
    # scipy transforms several float32 frames at once in vector registers, numpy one after the other.
    parts = scipy.fft.rfft(frame, axis=1, workers=1).view(np.float32)
    parts *= parts
    np.add(parts[:, 0::2], parts[:, 1::2], out=out)


def _relative(chroma: np.ndarray) -> np.ndarray:
    """Each frame divided by its greatest value; a frame of zeros stays one."""
    peak = chroma.max(axis=1, keepdims=True)
    return chroma / np.where(peak < np.finfo(np.float32).tiny, np.float32(1), peak)


def _moments(magnitude: np.ndarray, moments: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of frequency weighted by magnitude [frames, bins]; 0 for a frame of zeros.

    ``deviation`` is memory of the same shape to work in.
    """
    total, weighted = (magnitude @ moments).T
    total = np.where(total < np.finfo(np.float32).tiny, np.float32(1), total)
    centroid = weighted / total
    # In two passes: the mean of squares less the squared mean would lose a narrow band to rounding.
    np.subtract(moments[:, 1], centroid[:, np.newaxis], out=deviation)
    deviation *= deviation
    return centroid, np.sqrt(np.einsum("ij,ij->i", deviation, magnitude) / total)


def _zero_crossing_rate(samples: np.ndarray, win_length: int, hop_length: int) -> np.ndarray:
    """Changes of sign inside each frame, divided by its length in samples."""
    negative = np.pad(samples < -ZERO, win_length // 2, mode="edge")
    changes = np.zeros(len(negative), dtype=np.int32)
    np.cumsum(negative[1:] != negative[:-1], out=changes[1:])
    last = changes[win_length - 1 :: hop_length]
    return (last - changes[: len(changes) - win_length + 1 : hop_length]) / win_length
