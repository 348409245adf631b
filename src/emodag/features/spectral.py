"""Frame features from one short-time Fourier transform (STFT) per clip, after librosa's definitions and conventions.

Frame ``t`` is centred on sample ``t * hop_length``; the clip is padded with zeros (zero-crossing rate: with its edge
values) by half a frame at both ends, so a clip of ``n`` samples has ``1 + n // hop_length`` frames. The window is a
periodic Hann window of ``win_length`` samples, centred in ``n_fft``. ``docs/features.md`` defines every feature; those
that librosa has equal its functions of version 0.11 on the same STFT.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.fft

from emodag.audio import LOUDEST, SAMPLE_RATE
from emodag.errors import DataError
from emodag.params import Featurize, FrameGroups

if TYPE_CHECKING:
    from emodag.features import kernels

CHROMA = 12
TONNETZ = 6
FLOOR = 1e-10  # power, as librosa's amin: -100 dB
ZERO = 1e-10  # samples below this magnitude have no sign, as in librosa

#: Octave bands of the spectral contrast below its upper one, in Hz, and the share of a band's bins that make its peak.
CONTRAST_EDGES = (0.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
CONTRAST_QUANTILE = 0.02
CONTRAST_RANGE = 80.0  # dB, below a clip's highest peak (and valley)

DELTA_WIDTH = 9  # frames

# Weak bins are recomputed in double precision from waves kept in memory, up to so many values (16 bytes each); longer
# transforms are in double precision altogether.
LONGEST_BASIS = 2**19

# Samples transformed at a time: their spectra stay within a core's cache, whatever the length of the clip.
BLOCK = 3 * 2**15

_NAMES = {
    "log_mel": "log_mel_{:02d}",
    "mel": "mel_{:02d}",
    "mfcc": "mfcc_{:02d}",
    "mfcc_delta": "mfcc_delta_{:02d}",
    "mfcc_delta2": "mfcc_delta2_{:02d}",
    "chroma": "chroma_{:02d}",
    "rms": "rms",
    "zero_crossing_rate": "zero_crossing_rate",
    "band_energy_ratio": "band_energy_ratio",
    "centroid": "spectral_centroid",
    "bandwidth": "spectral_bandwidth",
    "rolloff": "spectral_rolloff",
    "flatness": "spectral_flatness",
    "flux": "spectral_flux",
    "contrast": "spectral_contrast_{}",
    "tonnetz": "tonnetz_{}",
}

# Groups that need no spectrum, and those that others are built on.
_OF_SAMPLES = {"rms", "zero_crossing_rate"}
_BASES = {
    "log_mel": {"mfcc", "mfcc_delta", "mfcc_delta2"},
    "mfcc": {"mfcc_delta", "mfcc_delta2"},
    "chroma": {"tonnetz"},
}


def names(settings: Featurize) -> dict[str, tuple[str, ...]]:
    """The features that :func:`frames` computes, in the order of its columns, by group."""
    return {
        group: tuple(_NAMES[group].format(number) for number in range(width))
        for group, width in _widths(settings.n_mels, settings.n_mfcc).items()
        if getattr(settings.frames, group)
    }


def _widths(n_mels: int, n_mfcc: int) -> dict[str, int]:
    """How many features a group has, in the order of the groups."""
    several = {
        "log_mel": n_mels,
        "mel": n_mels,
        "mfcc": n_mfcc,
        "mfcc_delta": n_mfcc,
        "mfcc_delta2": n_mfcc,
        "chroma": CHROMA,
        "contrast": len(CONTRAST_EDGES),
        "tonnetz": TONNETZ,
    }
    return {group: several.get(group, 1) for group in _NAMES}


def frames(samples: np.ndarray, settings: Featurize, *, beside: int = 0) -> np.ndarray:
    """All spectral features of a clip, float32 [frames, features]; never NaN or infinite.

    Memory beside the result is a fraction of it, whatever the length of the clip.

    Args:
        samples: float32 [samples] at 16 kHz, at least one.
        settings: window, hop, bands, and which groups.
        beside: further columns, left to the caller to fill, so that nothing need be copied to stand beside these.

    Raises:
        DataError: the samples hold NaN or infinite values, or ones far beyond full scale.
    """
    samples = checked(samples)
    out = _Columns(1 + len(samples) // settings.hop_length, settings, beside)
    bank = _bank(
        *(settings.n_fft, settings.win_length, settings.n_mels, settings.fmin, settings.fmax),
        *(settings.n_mfcc, settings.band_split, settings.rolloff),
    )
    blocks = list(_blocks(out.count, max(1, BLOCK // settings.n_fft)))
    block = _Block(blocks[0].stop, out.layout, settings, bank)
    loudest = -np.inf
    for rows in blocks:
        stretch = _stretch(samples, rows, settings)
        block.describe_samples(stretch, rows, len(samples))
        loudest = max(loudest, block.describe_spectra(stretch, rows))
        out.store(block.features, rows)
    _finish_cepstra(out, settings, bank, floor=np.float32(loudest - settings.top_db))
    _finish_contrast(out)
    return out.values


def checked(samples: np.ndarray) -> np.ndarray:
    """The samples as float32, side by side in memory.

    Raises:
        DataError: there is none or more than one channel; they hold NaN or infinite values, or ones beyond ``LOUDEST``.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if samples.ndim != 1 or not len(samples):
        raise DataError(f"samples of shape {samples.shape}: one channel of at least one sample is needed")
    peak = max(-samples.min(), samples.max())
    if not np.isfinite(peak):
        bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise DataError(f"{bad} of {len(samples)} samples are NaN or infinite; features need finite ones")
    if peak > LOUDEST:
        raise DataError(f"samples reach {peak:.4g}; full scale is 1, and up to {LOUDEST:g} is accepted")
    return samples


class _Layout(NamedTuple):
    """Where groups stand among the ``width`` rows of a block: first the ``stored`` ones, then what these build on."""

    places: dict[str, slice]
    rows: kernels.Rows
    stored: int
    width: int


@lru_cache(maxsize=8)
def _layout(groups: FrameGroups, n_mels: int, n_mfcc: int) -> _Layout:
    from emodag.features import kernels

    all_widths = _widths(n_mels, n_mfcc)
    widths = {group: width for group, width in all_widths.items() if getattr(groups, group)}
    wanted, stored = set(widths), sum(widths.values())
    for group, dependents in _BASES.items():
        if wanted & dependents:
            widths.setdefault(group, all_widths[group])
    if "contrast" in wanted:
        widths["valleys"] = all_widths["contrast"]
    ends = np.cumsum([0, *widths.values()]).tolist()
    places = {group: slice(*ends[n : n + 2]) for n, group in enumerate(widths)}
    rows = kernels.Rows(*(places[group].start if group in places else -1 for group in kernels.Rows._fields))
    return _Layout(places, rows, stored, ends[-1])


class _Columns:
    """``values`` [frames, features] of a clip, and ``aside`` [frames, more], on which stored features build."""

    def __init__(self, count: int, settings: Featurize, beside: int):
        self.layout = _layout(settings.frames, settings.n_mels, settings.n_mfcc)
        self.count = count
        self.values = np.empty((count, self.layout.stored + beside), dtype=np.float32)
        self.aside = np.empty((count, self.layout.width - self.layout.stored), dtype=np.float32)

    def __contains__(self, group: str) -> bool:
        return group in self.layout.places

    def __getitem__(self, group: str) -> np.ndarray:
        """The columns of a group: [frames, features]."""
        place, stored = self.layout.places[group], self.layout.stored
        if place.stop <= stored:
            return self.values[:, place]
        return self.aside[:, place.start - stored : place.stop - stored]

    def store(self, features: np.ndarray, rows: slice) -> None:
        count, stored = rows.stop - rows.start, self.layout.stored
        self.values[rows, :stored] = features[:stored, :count].T
        self.aside[rows] = features[stored:, :count].T


@lru_cache(maxsize=8)
def _bank(
    n_fft: int,
    win_length: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    n_mfcc: int,
    band_split: float,
    rolloff: float,
) -> kernels.Bank:
    # Imported here because it brings numba, which `import emodag` shall not wait for.
    from emodag.features import kernels

    frequencies = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    mel = _mel_bank(n_fft, n_mels, fmin, fmax)
    chroma = _chroma_bank(n_fft)
    cosines = scipy.fft.dct(np.eye(n_mels), norm="ortho", axis=0)[:n_mfcc]
    return kernels.Bank(
        hann(win_length),
        frequencies.astype(np.float32),
        *_weights(mel),
        *_weights(chroma),
        *_weights(_tonnetz_axes()),
        *_weights(cosines),
        octaves=_octaves(n_fft),
        basis=_basis(n_fft, win_length),
        split=int(np.searchsorted(frequencies, band_split)),
        rolloff=np.float32(rolloff),
    )


def _mel_bank(n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """How much of each bin belongs to each mel band, float32 [bands, bins]: Slaney's triangles of equal area.

    These are the bits of ``librosa.filters.mel``. Importing librosa's filters takes longer than all else that is needed
    to recognise one clip.
    """
    linear, step = 1000.0, np.log(6.4) / 27.0  # Hz up to which mels are linear, 15 of them; the steps of the logarithm
    scale = 200.0 / 3

    def mels(hertz: float) -> float:
        return linear / scale + np.log(hertz / linear) / step if hertz >= linear else hertz / scale

    edges = np.linspace(mels(fmin), mels(fmax), n_mels + 2)
    edges = np.where(edges >= linear / scale, linear * np.exp(step * (edges - linear / scale)), scale * edges)
    widths = np.diff(edges)[:, np.newaxis]
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE))
    bank = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])).astype(np.float32)
    bank *= (2.0 / (edges[2:] - edges[:-2]))[:, np.newaxis]
    return bank


def _chroma_bank(n_fft: int) -> np.ndarray:
    """How much of each bin belongs to each pitch class from C on, float32 [12, bins]; Gaussians (Ellis 2007).

    These are the bits of ``librosa.filters.chroma``, which imports a module that takes longer to load than everything
    else that is needed to recognise one clip.
    """
    frequencies = np.linspace(0, SAMPLE_RATE, n_fft, endpoint=False)[1:]
    places = CHROMA * np.log2(frequencies / (440.0 / 16))  # semitones above A0
    # The bin of 0 Hz is taken to lie an octave and a half below the next.
    places = np.concatenate(([places[0] - 1.5 * CHROMA], places))
    widths = np.concatenate((np.maximum(places[1:] - places[:-1], 1.0), [1]))
    distances = np.subtract.outer(places, np.arange(CHROMA, dtype=float)).T
    distances = np.remainder(distances + CHROMA / 2 + 10 * CHROMA, CHROMA) - CHROMA / 2
    bumps = np.exp(-0.5 * (2 * distances / widths) ** 2)
    bumps /= np.sum(bumps**2, axis=0) ** 0.5
    # Octaves around the fifth above A0 tell most.
    bumps *= np.exp(-0.5 * ((places / CHROMA - 5.0) / 2) ** 2)
    return np.ascontiguousarray(np.roll(bumps, -3, axis=0)[:, : n_fft // 2 + 1], dtype=np.float32)


def _weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Float32 [rows, bins]; and for every eight bins their first row and the row after their last."""
    rows, bins = weights.shape
    used = (weights[:, : bins - bins % 8] != 0).reshape(rows, -1, 8).any(axis=2)
    first, last = used.argmax(axis=0), rows - used[::-1].argmax(axis=0)
    return np.ascontiguousarray(weights, dtype=np.float32), first, np.where(used.any(axis=0), last, first)


def _blocks(count: int, most: int) -> Iterator[slice]:
    """``count`` rows in blocks of at most ``most``, and of one length but for the last."""
    length = -(-count // -(-count // most))
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))


def _stretch(samples: np.ndarray, rows: slice, settings: Featurize) -> np.ndarray:
    """The samples under some frames, zeros where they reach beyond the clip."""
    start = rows.start * settings.hop_length - settings.win_length // 2
    stop = (rows.stop - 1) * settings.hop_length + settings.win_length // 2
    if start >= 0 and stop <= len(samples):
        return samples[start:stop]
    stretch = np.zeros(stop - start, dtype=np.float32)
    inside = samples[max(start, 0) : stop]
    stretch[max(-start, 0) :][: len(inside)] = inside
    return stretch


class _Memory(threading.local):
    """One array per thread to work in, kept from clip to clip: fresh pages cost more than what is computed in them."""

    values = np.empty(0, dtype=np.float32)

    def take(self, *shapes: tuple[int, int]) -> list[np.ndarray]:
        """Arrays of these shapes, whatever is in them."""
        ends = np.cumsum([0, *(rows * columns for rows, columns in shapes)])
        if len(self.values) < ends[-1]:
            self.values = np.empty(ends[-1], dtype=np.float32)
        return [self.values[ends[n] : ends[n + 1]].reshape(shape) for n, shape in enumerate(shapes)]


_memory = _Memory()


class _Block:
    """The features of a block of frames: ``features`` [rows, frames], in which a layout says where groups stand.

    Where a block has fewer frames than the first of its clip, the rest are silent.
    """

    def __init__(self, count: int, layout: _Layout, settings: Featurize, bank: kernels.Bank):
        from emodag.features import kernels

        self._kernels, self._bank, self._layout = kernels, bank, layout
        self._hop_length = settings.hop_length
        bins = len(bank.frequencies)
        work = 3 + 2 * int(bank.octaves[:, 2].max())
        parts = {"log_mel": settings.n_mels, "contrast": len(CONTRAST_EDGES), "valleys": len(CONTRAST_EDGES)}
        parts["flatness"] = -(-bins // 3)
        ends = np.cumsum([0, *(width if group in layout.places else 0 for group, width in parts.items())])
        self.features, self._power, self._magnitude, self._sums, self._work, self._levels, self._windowed = (
            _memory.take(
                (layout.width, count),
                *((bins, count), (bins, count), (4, count), (work, count), (int(ends[-1]), count)),
                (settings.n_fft, count),
            )
        )
        self._log_mel, self._peaks, self._valleys, self._products = (
            self._levels[ends[n] : ends[n + 1]] for n in range(len(parts))
        )
        if not len(bank.basis):
            self._windowed = np.empty(self._windowed.shape)
        self._windowed[len(bank.window) :] = 0
        self._window = bank.window.astype(self._windowed.dtype)
        self._before = np.zeros(bins, dtype=np.float32)

    def describe_samples(self, stretch: np.ndarray, rows: slice, length: int) -> None:
        """RMS and zero-crossing rate of the frames that cover ``stretch``, in a clip of ``length`` samples."""
        win_length, hop_length, count = len(self._bank.window), self._hop_length, rows.stop - rows.start
        if "rms" in self._layout.places:
            rms = self._rows("rms")[0, :count]
            self._kernels.root_mean_squares(stretch, win_length, hop_length, rms)
        if "zero_crossing_rate" in self._layout.places:
            # Outside the clip its edge values go on, so nothing changes its sign there.
            start = rows.start * hop_length - win_length // 2
            inside = slice(max(-start, 0), length - start)
            changed = np.zeros(len(stretch) - 1, dtype=np.uint8)
            self._kernels.sign_changes(stretch[inside], np.float32(ZERO), changed[inside.start : inside.stop - 1])
            self._kernels.rates(changed, win_length, hop_length, self._rows("zero_crossing_rate")[0, :count])

    def describe_spectra(self, stretch: np.ndarray, rows: slice) -> float:
        """All that the spectra of these frames tell. Returns the highest level of a mel band, in dB."""
        if self._layout.places.keys() <= _OF_SAMPLES:
            return -np.inf
        kernels, bank, power, magnitude = self._kernels, self._bank, self._power, self._magnitude
        # Only win_length of a frame's n_fft samples pass the window, so only those are gathered; where they lie within
        # n_fft turns the phase of the spectrum, not its power.
        kernels.windowed(stretch, self._window, self._hop_length, self._windowed)
        # scipy transforms several float32 frames at once in vector registers, numpy one after the other.
        spectrum = scipy.fft.rfft(self._windowed, axis=0, workers=1).astype(np.complex64, copy=False)
        kernels.power_and_magnitude(spectrum, bank.frequencies, bank.split, power, magnitude, self._sums)
        levels = self._log_mel, self._peaks, self._valleys, self._products
        if len(self._peaks):
            kernels.peaks_and_valleys(
                *(self._sums[0], magnitude, stretch, self._hop_length, bank),
                *(self._work, self._peaks, self._valleys),
            )
        kernels.describe(
            *(bank, self._layout.rows, power, magnitude, self._sums, self._work),
            *(self._before, self.features, self._log_mel, self._products),
        )
        # NumPy has logarithms in vector registers, Numba has not.
        np.log(self._levels, out=self._levels)
        count = rows.stop - rows.start
        loudest = kernels.finish(self._layout.rows, *levels, len(power), count, self._work, self.features)
        if "flux" in self._layout.places and rows.start == 0:
            self._rows("flux")[0, 0] = 0
        return loudest

    def _rows(self, group: str) -> np.ndarray:
        return self.features[self._layout.places[group]]


def _finish_contrast(out: _Columns) -> None:
    if "contrast" in out:
        peaks, valleys = out["contrast"], out["valleys"]
        np.maximum(valleys, valleys.max() - CONTRAST_RANGE, out=valleys)
        np.maximum(peaks, peaks.max() - CONTRAST_RANGE, out=peaks)
        np.subtract(peaks, valleys, out=peaks)


def _finish_cepstra(out: _Columns, settings: Featurize, bank: kernels.Bank, *, floor: np.float32) -> None:
    """Lift log-mel to its floor, which the loudest band of the clip sets, and derive the MFCC from it."""
    if "log_mel" not in out:
        return
    from emodag.features import kernels

    log_mel = out["log_mel"]
    for rows in _blocks(out.count, BLOCK // settings.n_mels):
        lifted = np.maximum(log_mel[rows], floor)
        log_mel[rows] = lifted
        if "mfcc" in out:
            cepstra = np.empty((settings.n_mfcc, len(lifted)), dtype=np.float32)
            kernels.weighted_sums(
                np.ascontiguousarray(lifted.T), bank.cosines, bank.cosines_first, bank.cosines_last, cepstra
            )
            out["mfcc"][rows] = cepstra.T
    for order, group in ((1, "mfcc_delta"), (2, "mfcc_delta2")):
        if group in out:
            _delta(out["mfcc"], order, out[group])


def _delta(values: np.ndarray, order: int, out: np.ndarray) -> None:
    """Derivative over frames of each column, from the polynomial of that order through ``DELTA_WIDTH`` frames.

    Frames nearer to an end take the derivative of the polynomial there, which is a constant. In a clip shorter than
    the width, the first and the last frame stand for what lies outside.
    """
    from emodag.features import kernels

    weights, half = _delta_weights(order), DELTA_WIDTH // 2
    if len(values) < DELTA_WIDTH:
        padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
        result = np.empty(values.shape, dtype=np.float32)
        kernels.correlated(padded, weights, result)
        out[:] = result
        return
    inner = out[half:-half]
    for rows in _blocks(len(inner), BLOCK // values.shape[1]):
        result = np.empty((rows.stop - rows.start, values.shape[1]), dtype=np.float32)
        kernels.correlated(np.ascontiguousarray(values[rows.start : rows.stop + 2 * half]), weights, result)
        inner[rows] = result
    out[:half], out[-half:] = inner[0], inner[-1]


@lru_cache(maxsize=2)
def _delta_weights(order: int) -> np.ndarray:
    # Least squares over powers of the distance from the middle; the coefficient of the highest is order! times it.
    powers = np.arange(-(DELTA_WIDTH // 2), DELTA_WIDTH // 2 + 1.0) ** np.arange(order + 1)[:, np.newaxis]
    wanted = np.zeros(order + 1)
    wanted[order] = math.factorial(order)
    return np.linalg.lstsq(powers, wanted)[0].astype(np.float32)


def _octaves(n_fft: int) -> np.ndarray:
    """For each band of the spectral contrast its first bin, the bin after its last, and how many make a peak.

    As in librosa, a band begins one bin below its lower edge, and ends one bin below its upper edge. Where bins are so
    wide that nothing would be left, one stays.
    """
    frequencies = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    bands = []
    for band, low in enumerate(CONTRAST_EDGES):
        top = band == len(CONTRAST_EDGES) - 1
        high = np.inf if top else CONTRAST_EDGES[band + 1]
        first = int(np.searchsorted(frequencies, low)) - (band > 0)
        last = int(np.searchsorted(frequencies, high, side="right"))
        ranks = max(1, int(np.rint(CONTRAST_QUANTILE * (last - first))))
        bands.append((first, last if top else max(last - 1, first + 1), ranks))
    return np.array(bands)


def _basis(n_fft: int, win_length: int) -> np.ndarray:
    """Windowed cosine and sine waves of every bin, float64 [bins, 2, win_length]; none for long transforms."""
    bins = n_fft // 2 + 1
    if bins * win_length > LONGEST_BASIS:
        return np.empty((0, 2, win_length))
    turns = np.outer(np.arange(bins), np.arange(win_length)) % n_fft / n_fft
    waves = np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1)
    return waves * hann(win_length)


def hann(length: int) -> np.ndarray:
    """A periodic Hann window, float64 [length]: the bits of ``scipy.signal``'s, which takes long to import."""
    return 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1))[:-1]


def _tonnetz_axes() -> np.ndarray:
    """The [6, 12] projection of pitch classes on circles of fifths, minor and major thirds (Harte et al. 2006)."""
    steps = np.outer([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3], np.arange(CHROMA))
    steps[::2] -= 0.5
    return np.array([1, 1, 1, 1, 0.5, 0.5])[:, np.newaxis] * np.cos(np.pi * steps)
