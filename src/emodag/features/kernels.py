"""Inner loops of the spectral features, compiled by Numba at first use and kept in its cache.

Spectra stand here as [bins, frames]: each loop runs along frames that lie side by side in memory, which a compiler
turns into vector instructions, and sums over bins follow one order whatever the number of threads or processes. The
module is imported where it is needed, since Numba takes a second to load. All arrays are C-ordered float32 unless said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

_TINY = np.finfo(np.float32).tiny
_LARGEST = np.finfo(np.float32).max
_FLOOR = np.float32(1e-10)  # power, as librosa's amin: -100 dB
_DECIBELS = np.float32(10 / np.log(10))  # in a natural unit of level

# A float32 transform errs by up to 7e-8 of a frame's norm (seen over RAVDESS, CREMA-D, EmoDB, SAVEE and TESS); below
# 1e-4 of it, a magnitude would be off by more than the 1e-4 of the spectral contrast that features may be.
_ROUNDING = np.float32(2e-7)
_WEAK = np.float32(1e-4)

# Sums may be regrouped and products fused; values that are not finite are refused before.
_FAST = {"contract", "reassoc", "nsz", "nnan", "ninf"}


def _compiled(function: Callable) -> Callable:
    try:
        return numba.njit(function, fastmath=_FAST, error_model="numpy", cache=True)
    except RuntimeError:  # nowhere to keep a cache: a read-only installation and no home
        return numba.njit(function, fastmath=_FAST, error_model="numpy")


@_compiled
def power_and_magnitude(spectrum, frequencies, split, power, magnitude, sums):
    """Of a complex64 spectrum [bins, frames]; and their ``sums`` [4, frames] over bins.

    They are of power, of power below the bin ``split``, of magnitude, and of magnitude times frequency.
    """
    sums[:] = 0
    energy, below, total, weighted = sums[0], sums[1], sums[2], sums[3]
    for b in range(len(spectrum)):
        if b == split:
            below[:] = energy
        row, powers, magnitudes, frequency = spectrum[b], power[b], magnitude[b], frequencies[b]
        for t in range(len(row)):
            square = row[t].real * row[t].real + row[t].imag * row[t].imag
            root = np.sqrt(square)
            powers[t] = square
            magnitudes[t] = root
            energy[t] += square
            total[t] += root
            weighted[t] += root * frequency


@_compiled
def sum_of(rows, out):
    """Sum of ``rows`` [bins, frames] over bins."""
    out[:] = 0
    for b in range(len(rows)):
        row = rows[b]
        for t in range(len(row)):
            out[t] += row[t]


@_compiled
def weighted_sums(spectrum, weights, first, last, out):
    """``weights`` [rows, bins] @ ``spectrum`` [bins, frames].

    Bins ``8 i`` to ``8 i + 7`` have weights only in rows from ``first[i]`` to before ``last[i]``.
    """
    out[:] = 0
    eights = len(spectrum) // 8
    for eight in range(eights):
        s = spectrum[8 * eight : 8 * eight + 8]
        s0, s1, s2, s3, s4, s5, s6, s7 = s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
        for r in range(first[eight], last[eight]):
            total, w = out[r], weights[r, 8 * eight : 8 * eight + 8]
            w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
            for t in range(len(total)):
                total[t] += (
                    (w0 * s0[t] + w1 * s1[t] + w2 * s2[t] + w3 * s3[t])
                    + (w4 * s4[t] + w5 * s5[t] + w6 * s6[t] + w7 * s7[t])
                )  # fmt: skip
    for b in range(8 * eights, len(spectrum)):
        for r in range(len(out)):
            total, w, row = out[r], weights[r, b], spectrum[b]
            for t in range(len(total)):
                total[t] += w * row[t]


@_compiled
def spread(magnitude, total, frequencies, centroid, out):
    """Standard deviation of frequency around the centroid, weighted by magnitude, which sums up to ``total``."""
    out[:] = 0
    for b in range(len(magnitude)):
        row, frequency = magnitude[b], frequencies[b]
        for t in range(len(row)):
            deviation = frequency - centroid[t]
            out[t] += row[t] * deviation * deviation
    for t in range(len(total)):
        out[t] = np.sqrt(out[t] / total[t])


@_compiled
def bins_below(magnitude, threshold, running, out):
    """How many bins stand before the running sum over bins reaches the frame's threshold."""
    running[:] = 0
    out[:] = 0
    for b in range(len(magnitude)):
        row = magnitude[b]
        for t in range(len(row)):
            running[t] += row[t]
            out[t] += np.float32(1) if running[t] < threshold[t] else np.float32(0)


@_compiled
def products_of_three(power, least, out, total):
    """Products [ceil(bins / 3), frames] of three bins each, none counted as less than ``least``; and all their sum."""
    out[:] = 1
    total[:] = 0
    for b in range(len(power)):
        row, product = power[b], out[b // 3]
        for t in range(len(row)):
            value = max(row[t], least)
            product[t] *= value
            total[t] += value


@_compiled
def rise(magnitude, scale, before, out):
    """Sum over bins of the squares of what ``magnitude * scale`` gained since the frame before; losses do not count.

    ``before`` [bins] holds the frame before the first, scaled, and afterwards the last. ``scale`` is [frames].
    """
    out[:] = 0
    end = len(scale) - 1
    scale_now, scale_then, total = scale[1:], scale[:-1], out[1:]
    for b in range(len(magnitude)):
        row = magnitude[b]
        now, then = row[1:], row[:-1]
        gain = max(row[0] * scale[0] - before[b], np.float32(0))
        out[0] += gain * gain
        for t in range(len(now)):
            gain = max(now[t] * scale_now[t] - then[t] * scale_then[t], np.float32(0))
            total[t] += gain * gain
        before[b] = row[end] * scale[end]


@_compiled
def extremes(magnitude, highest, lowest, rest):
    """The greatest and the least values of each frame, as many as ``highest``, ``lowest`` [ranks, frames] have rows.

    ``rest`` [2, frames] is memory to work in.
    """
    highest[:] = 0
    lowest[:] = _LARGEST
    if len(highest) == 1:
        high, low = highest[0], lowest[0]
        for b in range(len(magnitude)):
            row = magnitude[b]
            for t in range(len(row)):
                high[t], low[t] = max(high[t], row[t]), min(low[t], row[t])
        return
    high_rest, low_rest = rest[0], rest[1]
    for b in range(len(magnitude)):
        row = magnitude[b]
        for t in range(len(row)):
            high_rest[t] = row[t]
            low_rest[t] = row[t]
        # Each rank keeps the better of what it holds and of what the rank above gave up.
        for rank in range(len(highest)):
            high, low = highest[rank], lowest[rank]
            for t in range(len(row)):
                held, offered = high[t], high_rest[t]
                high[t], high_rest[t] = max(held, offered), min(held, offered)
                held, offered = low[t], low_rest[t]
                low[t], low_rest[t] = min(held, offered), max(held, offered)


@_compiled
def exact_magnitude(samples, basis):
    """Magnitude of one bin of the windowed samples: ``basis`` float64 [2, length] are its cosine and sine waves."""
    cosine, sine = basis[0], basis[1]
    real = imaginary = 0.0
    for n in range(len(samples)):
        real += samples[n] * cosine[n]
        imaginary += samples[n] * sine[n]
    return np.sqrt(real * real + imaginary * imaginary)


@_compiled
def refine(found, sign, magnitude, norm, samples, hop, basis, first):
    """Recompute in double precision what is too weak beside the rest of its frame for a float32 transform.

    Args:
        found: [ranks, frames], the least (``sign`` 1) or greatest (-1) magnitudes, outermost first; changed in place.
        sign: of the magnitudes, so that the least are sought in both cases.
        magnitude: [bins, frames] of one band.
        norm: [frames], root of the power of all bins.
        samples: under the frames, which lie ``hop`` apart.
        basis: float64 [all bins, 2, length], of which the band begins at ``first``.
    """
    ranks, length = len(found), basis.shape[2]
    for t in range(len(norm)):
        if min(found[0, t], found[ranks - 1, t]) >= _WEAK * norm[t]:
            continue
        # What is sought is among the bins that rounding could have taken for it.
        reach = sign * found[ranks - 1, t] + 2 * _ROUNDING * norm[t]
        window = samples[t * hop : t * hop + length]
        found[:, t] = sign * _LARGEST
        for b in range(len(magnitude)):
            if sign * magnitude[b, t] <= reach:
                value = sign * np.float32(exact_magnitude(window, basis[first + b]))
                for rank in range(ranks):
                    held = sign * found[rank, t]
                    found[rank, t], value = sign * min(held, value), max(held, value)


@_compiled
def scale(rows, factor, least):
    """Multiply in place, and lift to ``least``."""
    for r in range(len(rows)):
        row = rows[r]
        for t in range(len(row)):
            row[t] = max(row[t] * factor, least)


@_compiled
def peaks_and_valleys(energy, magnitude, samples, hop, bank, work, peaks, valleys):
    """Mean of the greatest and of the least magnitudes in each octave: [octaves, frames].

    ``energy`` [frames] is the power of all bins, and ``samples`` lie under the frames. ``work`` [rows, frames] has
    three rows and two for each bin to average.
    """
    norm = work[0]
    for t in range(len(norm)):
        norm[t] = np.sqrt(energy[t])
    norm[(len(samples) - len(bank.window)) // hop + 1 :] = 0
    for band in range(len(bank.octaves)):
        first, last, ranks = bank.octaves[band]
        highest, lowest = work[3 : 3 + ranks], work[3 + ranks : 3 + 2 * ranks]
        extremes(magnitude[first:last], highest, lowest, work[1:3])
        if len(bank.basis):
            refine(highest, np.float32(-1), magnitude[first:last], norm, samples, hop, bank.basis, first)
            refine(lowest, np.float32(1), magnitude[first:last], norm, samples, hop, bank.basis, first)
        sum_of(highest, peaks[band])
        sum_of(lowest, valleys[band])
        scale(peaks[band : band + 1], np.float32(1 / ranks), _FLOOR)
        scale(valleys[band : band + 1], np.float32(1 / ranks), _FLOOR)


class Bank(NamedTuple):
    """What depends on the settings alone.

    ``window`` is float64. Weights are float32 [rows, bins], with ``first`` and ``last`` as above. ``octaves`` int64
    [bands, 3] are the first bin of a band, the bin after its last, and how many bins make its peak. ``basis`` float64
    [bins, 2, win_length] are the windowed waves of every bin; none if spectra are transformed in double precision.
    """

    window: np.ndarray
    frequencies: np.ndarray
    mel: np.ndarray
    mel_first: np.ndarray
    mel_last: np.ndarray
    chroma: np.ndarray
    chroma_first: np.ndarray
    chroma_last: np.ndarray
    tonnetz: np.ndarray
    tonnetz_first: np.ndarray
    tonnetz_last: np.ndarray
    cosines: np.ndarray
    cosines_first: np.ndarray
    cosines_last: np.ndarray
    octaves: np.ndarray
    basis: np.ndarray
    split: int
    rolloff: np.float32


class Rows(NamedTuple):
    """The first row of each group in a block's features; -1 where it is not wanted."""

    log_mel: int
    mel: int
    mfcc: int
    mfcc_delta: int
    mfcc_delta2: int
    chroma: int
    rms: int
    zero_crossing_rate: int
    band_energy_ratio: int
    centroid: int
    bandwidth: int
    rolloff: int
    flatness: int
    flux: int
    contrast: int
    tonnetz: int
    valleys: int


@_compiled
def windowed(samples, window, hop, out):
    """Frames of ``samples``, ``hop`` apart, times the window: ``out`` [n_fft, frames], zero beside them.

    ``window`` and ``out`` share their precision.
    """
    length = len(window)
    count = (len(samples) - length) // hop + 1
    # In strips of a cache line, so that each line of samples is read once.
    for strip in range(0, length, 16):
        size = min(16, length - strip)
        weights, rows = window[strip : strip + size], out[strip : strip + size]
        for t in range(count):
            stretch = samples[t * hop + strip : t * hop + strip + size]
            for n in range(size):
                rows[n, t] = weights[n] * stretch[n]
    out[:length, count:] = 0


@_compiled
def divide(rows, sums):
    """Divide by sums per frame, in place; what is zero within float32 divides nothing."""
    for r in range(len(rows)):
        row = rows[r]
        for t in range(len(row)):
            row[t] /= sums[t] if sums[t] >= _TINY else np.float32(1)


@_compiled
def describe(bank, rows, power, magnitude, sums, work, before, features, log_mel, products):
    """Fill a block's ``features`` [rows, frames] from its spectrum, but for what logarithms are needed for.

    Of these, it fills power in ``log_mel`` [bands, frames], products of three bins in ``products``, and their sum in
    the row of the flatness; what is empty is not wanted. ``work`` [rows, frames] is memory to work in.
    """
    total, other = work[0], work[1]
    if rows.mel >= 0:
        mel = features[rows.mel : rows.mel + len(bank.mel)]
        weighted_sums(power, bank.mel, bank.mel_first, bank.mel_last, mel)
    if len(log_mel):
        weighted_sums(power, bank.mel, bank.mel_first, bank.mel_last, log_mel)
        scale(log_mel, np.float32(1), _FLOOR)
    if rows.chroma >= 0:
        chroma = features[rows.chroma : rows.chroma + len(bank.chroma)]
        weighted_sums(power, bank.chroma, bank.chroma_first, bank.chroma_last, chroma)
        total[:] = 0
        for c in range(len(chroma)):
            for t in range(len(total)):
                total[t] = max(total[t], chroma[c, t])
        divide(chroma, total)
        if rows.tonnetz >= 0:
            tonnetz = features[rows.tonnetz : rows.tonnetz + len(bank.tonnetz)]
            weighted_sums(chroma, bank.tonnetz, bank.tonnetz_first, bank.tonnetz_last, tonnetz)
            sum_of(chroma, total)
            divide(tonnetz, total)
    if rows.band_energy_ratio >= 0:
        share = features[rows.band_energy_ratio : rows.band_energy_ratio + 1]
        share[0] = sums[1]
        divide(share, sums[0])
    if rows.rolloff >= 0:
        bins_below(magnitude, sums[2] * bank.rolloff, other, features[rows.rolloff])
        features[rows.rolloff] *= bank.frequencies[1]
    for t in range(len(total)):
        total[t] = sums[2, t] if sums[2, t] >= _TINY else np.float32(1)
    if rows.centroid >= 0 or rows.bandwidth >= 0:
        centroid = features[rows.centroid] if rows.centroid >= 0 else other
        for t in range(len(total)):
            centroid[t] = sums[3, t] / total[t]
        if rows.bandwidth >= 0:
            spread(magnitude, total, bank.frequencies, centroid, features[rows.bandwidth])
    if rows.flux >= 0:
        rise(magnitude, np.float32(1) / total, before, features[rows.flux])
        features[rows.flux] = np.sqrt(features[rows.flux])
    if len(products):
        products_of_three(power, _FLOOR, products, features[rows.flatness])


@_compiled
def finish(rows, log_mel, peaks, valleys, products, bins, count, work, features):
    """Fill in what logarithms were needed for; return the highest level of a mel band in the first ``count`` frames.

    The arrays [rows, frames] are as :func:`describe` and :func:`peaks_and_valleys` fill them, but natural logarithms.
    """
    loudest = -_LARGEST
    for levels, first in ((log_mel, rows.log_mel), (peaks, rows.contrast), (valleys, rows.valleys)):
        for r in range(len(levels)):
            row, out = levels[r], features[first + r]
            for t in range(len(row)):
                out[t] = row[t] * _DECIBELS
    for r in range(len(log_mel)):
        out = features[rows.log_mel + r]
        for t in range(count):
            loudest = max(loudest, out[t])
    if len(products):
        flatness, total = features[rows.flatness], work[0]
        sum_of(products, total)
        for t in range(len(total)):
            flatness[t] = np.exp(total[t] / np.float32(bins)) * np.float32(bins) / flatness[t]
    return loudest


@_compiled
def root_mean_squares(samples, length, hop, out):
    """Root of the mean square of every ``length`` samples, ``hop`` apart: [frames]."""
    for frame in range(len(out)):
        window = samples[frame * hop : frame * hop + length]
        total = np.float32(0)
        for i in range(len(window)):
            total += window[i] * window[i]
        out[frame] = np.sqrt(total / np.float32(length))


@_compiled
def sign_changes(samples, least, out):
    """Whether a sample has another sign than the one before, uint8 [samples - 1]; ``-least`` is not yet negative."""
    now, then = samples[1:], samples[:-1]
    for i in range(len(now)):
        out[i] = (now[i] < -least) != (then[i] < -least)


@_compiled
def rates(changes, length, hop, out):
    """Changes between every ``length`` samples, as a share of them; windows are ``hop`` apart."""
    for frame in range(len(out)):
        window = changes[frame * hop : frame * hop + length - 1]
        total = np.int32(0)
        for i in range(len(window)):
            total += window[i]
        out[frame] = total / np.float32(length)


@_compiled
def correlated(rows, weights, out):
    """Correlation over time of every column of ``rows`` [frames, columns] with ``weights``: where they fit whole."""
    flat, total, columns = rows.ravel(), out.ravel(), rows.shape[1]
    total[:] = 0
    for tap in range(len(weights)):
        shifted, weight = flat[tap * columns : tap * columns + len(total)], weights[tap]
        for i in range(len(total)):
            total[i] += weight * shifted[i]


@_compiled
def moments(values, deviation, mean, variance, third, slope):
    """Of each row of ``values`` [rows, frames]: the mean, the second and third central moment, and the slope per frame.

    ``deviation`` float64 [rows, frames] receives what remains of each value without the mean. Results are float64.
    """
    count = values.shape[1]
    centre = (count - 1) / 2
    spread = max(count * (count * count - 1.0) / 12, 1.0)
    for r in range(len(values)):
        row, rest = values[r], deviation[r]
        total = 0.0
        for t in range(count):
            total += row[t]
        mean[r] = total / count
        square = cube = along = 0.0
        for t in range(count):
            value = row[t] - mean[r]
            rest[t] = value
            square += value * value
            cube += value * value * value
            along += value * (t - centre)
        variance[r], third[r], slope[r] = square / count, cube / count, along / spread


@_compiled
def variance_of_correlation(values, weights, work, out):
    """Variance of the correlation of each row of ``values`` [rows, frames] with ``weights``, where they fit whole.

    Float64 throughout; ``work`` has as many entries as the weights fit places in a row.
    """
    for r in range(len(values)):
        row = values[r]
        work[:] = 0
        for tap in range(len(weights)):
            shifted, weight = row[tap : tap + len(work)], weights[tap]
            for t in range(len(work)):
                work[t] += weight * shifted[t]
        mean = work.sum() / len(work)
        square = 0.0
        for t in range(len(work)):
            square += (work[t] - mean) * (work[t] - mean)
        out[r] = square / len(work)


@_compiled
def peaks(values: np.ndarray, height: float, prominence: float) -> np.ndarray:
    """Where values float64 [values] peak, bool [values]; the middle of a plateau stands for it.

    A peak is no lower than ``height`` and stands out by ``prominence``: by so much the values fall on both sides before
    they rise above it, or end. The same as ``scipy.signal.find_peaks``, which takes long to import.
    """
    found = np.zeros(len(values), np.bool_)
    first = 1
    while first < len(values) - 1:
        last = first
        while last < len(values) - 1 and values[last + 1] == values[first]:
            last += 1
        peak = values[first]
        if last < len(values) - 1 and values[first - 1] < peak and values[last + 1] < peak and peak >= height:
            left = right = peak
            place = first - 1
            while place >= 0 and values[place] <= peak:
                left = min(left, values[place])
                place -= 1
            place = last + 1
            while place < len(values) and values[place] <= peak:
                right = min(right, values[place])
                place += 1
            found[(first + last) // 2] = peak - max(left, right) >= prominence
        first = last + 1
    return found
