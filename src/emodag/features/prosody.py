"""Prosody and voice quality by Praat (through parselmouth), on the grid of the spectral frames.

Frame ``t`` is centred on sample ``t * hop_length``. What is computed, group by group:

- ``f0``: fundamental frequency by Praat's autocorrelation method (Boersma 1993) with its standard costs, in semitones
  above 27.5 Hz (the scale of eGeMAPS: equal steps are equal intervals in every voice); 0 where unvoiced;
- ``hnr``: harmonics-to-noise ratio in dB by the same analysis: ``10 log10(r / (1 - r))``, where ``r`` is the
  autocorrelation at the period found (Boersma 1993), at most :data:`HNR_MAX`; 0 where unvoiced. It holds for the band
  up to 4 kHz;
- ``intensity``: Praat's intensity in dB re 20 µPa (a full-scale square wave has 94 dB), at least 0;
- ``formants``: F1 to F3 in Hz by Burg's method (Praat's standard settings: 5 formants below ``max_formant``, a Gaussian
  window of 25 ms, pre-emphasis from 50 Hz), every 20 ms and interpolated between; 0 where unvoiced;
- voice quality, of the clip: jitter (local and relative average perturbation, shares of a period) and shimmer (local in
  dB, and the three-point amplitude perturbation quotient), as Praat measures them between glottal pulses;
- rhythm, of the clip: its voiced share, voiced stretches per second and the mean and standard deviation of their
  length in seconds; syllable nuclei per second of clip (peaks of intensity in voiced speech with a dip of 2 dB around
  them, not 25 dB below the loudest: de Jong and Wempe 2009); and, over the time from the first turn's start to the
  last one's end, pauses between turns: per second, their mean length in seconds, their share.

Praat is given only those samples that can matter: pitch is sought where the clip is loud enough for Praat to call a
frame voiced at all, formants where it is voiced.

- P. Boersma (1993): Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
  sampled sound. Proceedings of the Institute of Phonetic Sciences 17, University of Amsterdam, 97-110.
- N. H. de Jong, T. Wempe (2009): Praat script to detect syllable nuclei and measure speech rate automatically.
  Behavior Research Methods 41(2), 385-390.
- Y. Jadoul, B. Thompson, B. de Boer (2018): Introducing Parselmouth: a Python interface to Praat. Journal of Phonetics
  71, 1-15.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from emodag.audio import SAMPLE_RATE, resample
from emodag.features.functionals import needs_f0
from emodag.params import Featurize

if TYPE_CHECKING:
    import parselmouth

FORMANTS = 3
HNR_MAX = 40.0  # dB; beyond it the window, not the voice, limits what is measured
SEMITONE_REFERENCE = 27.5  # Hz

#: Frames analysed at a time last so long, with so much around them that does not count: memory stays bounded.
BLOCK, CONTEXT = 60.0, 1.0  # s

# As right as 16 kHz and a fifth faster; at 4 kHz HNR would tell emotions less well (docs/features.md).
_PITCH_RATE = 8000
_SILENCE, _VOICING = 0.03, 0.45  # Praat's standard thresholds
_CANDIDATES = 4  # of F0 in a frame; Praat raises it to f0_max / f0_min, and its standard 15 find the same path
_PITCH_PERIODS = 3  # in Praat's pitch window
_INTENSITY_PERIODS = 6.4  # in Praat's intensity window
_INTENSITY_CELL = 20  # samples at most
_HEARING = 2e-5  # Pa, the threshold of hearing: 0 dB
_FORMANT_STEP, _FORMANT_WINDOW = 0.02, 0.025  # s; Praat's Gaussian window is twice as long as its nominal length
_INAUDIBLE = 2.0**-16  # half a step of 16 bits: nothing below it is voice

_VOICE_QUALITY = ("jitter_local", "jitter_rap", "shimmer_local_db", "shimmer_apq3")
_RHYTHM = (
    "voiced_share",
    "voiced_stretches_per_second",
    "voiced_stretch_mean",
    "voiced_stretch_std",
    "speech_rate",
    "pauses_per_second",
    "pause_mean",
    "pause_share",
)

Turns = Sequence[tuple[float, float]]
_Resampling = Callable[[np.ndarray, int, int], np.ndarray]


class Prosody(NamedTuple):
    """Prosody of a clip: ``frames`` float32 [frames, features], ``voiced`` bool [frames], ``clip`` float32 [values]."""

    frames: np.ndarray
    voiced: np.ndarray
    clip: np.ndarray


def names(settings: Featurize) -> dict[str, tuple[str, ...]]:
    """The frame features of the enabled groups, in the order of the columns of :class:`Prosody`."""
    every = {
        "f0": ("f0",),
        "intensity": ("intensity",),
        "hnr": ("hnr",),
        "formants": tuple(f"formant_{number}" for number in range(1, FORMANTS + 1)),
    }
    return {group: columns for group, columns in every.items() if getattr(settings.frames, group)}


def clip_names(settings: Featurize) -> tuple[str, ...]:
    """The values of ``Prosody.clip``."""
    return _VOICE_QUALITY * settings.functionals.voice_quality + _RHYTHM * settings.functionals.rhythm


def analyse(samples: np.ndarray, settings: Featurize, count: int, turns: Turns | None = None) -> Prosody:
    """Prosody of a clip; never NaN or infinite for finite samples. Where nothing is voiced, what needs voice is 0.

    Args:
        samples: float32 [samples] at 16 kHz, at least one.
        settings: hop, limits of F0 and formants, and which groups are wanted.
        count: frames, ``1 + samples // hop_length``.
        turns: start and end in seconds of speech within the samples. Without them the values of pauses are 0.
    """
    with _on_one_core():
        contours = _contours(samples, settings, count)
    columns = {
        "f0": _semitones(contours.f0),
        "intensity": contours.intensity,
        "hnr": contours.hnr,
        "formants": contours.formants,
    }
    groups = [columns[group].reshape(count, -1) for group in names(settings)]
    frames = np.concatenate(groups, axis=1, dtype=np.float32) if groups else np.zeros((count, 0), np.float32)
    voiced = contours.f0 > 0
    clip = []
    if settings.functionals.voice_quality:
        clip += [*contours.voice_quality]
    if settings.functionals.rhythm:
        hop = settings.hop_length / SAMPLE_RATE
        duration = len(samples) / SAMPLE_RATE
        clip += [
            *_voiced_stretches(voiced, hop, duration),
            _syllables(contours.intensity, voiced) / duration,
            *_pauses(turns or (), duration),
        ]
    return Prosody(frames, voiced, np.array(clip, dtype=np.float32))


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Keep this thread, and those that it starts, on the core where it runs now.

    Praat spreads pitch and formants over as many threads as there are cores, and has no setting for that. Work is
    spread over processes here, and on one core threads take turns. Elsewhere than on Linux nothing is done.
    """
    current = getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None
    if current is None:
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} if (core := current()) in allowed else allowed)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class _Contours(NamedTuple):
    """Per frame: ``f0`` and ``formants`` [frames, 3] in Hz, ``hnr`` and ``intensity`` in dB; and voice quality."""

    f0: np.ndarray
    hnr: np.ndarray
    intensity: np.ndarray
    formants: np.ndarray
    voice_quality: np.ndarray


def _contours(samples: np.ndarray, settings: Featurize, count: int) -> _Contours:
    """All that Praat measures, of a clip of any length; what is not wanted is left at 0."""
    mean = samples.mean(dtype=np.float64)
    peak = max(samples.max() - mean, mean - samples.min())
    clip = _Contours(
        np.zeros(count), np.zeros(count), np.zeros(count), np.zeros((count, FORMANTS)), np.zeros(len(_VOICE_QUALITY))
    )
    weight = 0
    for block, inner, stretch in _blocks(count, settings.hop_length, len(samples)):
        found = _block(samples[stretch] - mean, peak, settings)
        for whole, part in zip(clip[:-1], found[:-1], strict=True):
            whole[block] = part[inner]
        voiced = int(np.count_nonzero(found.f0))
        clip.voice_quality[:] += voiced * found.voice_quality
        weight += voiced
    clip.voice_quality[:] /= max(weight, 1)
    return clip


def _blocks(count: int, hop: int, length: int) -> Iterator[tuple[slice, slice, slice]]:
    """Blocks of frames, where these stand among the frames of the samples to analyse, and those samples."""
    step, around = (max(1, round(seconds * SAMPLE_RATE / hop)) for seconds in (BLOCK, CONTEXT))
    for start in range(0, count, step):
        end = min(start + step, count)
        first = max(0, start - around)
        samples = slice(first * hop, min((end + around) * hop, length))
        yield slice(start, end), slice(start - first, end - first), samples


def _block(samples: np.ndarray, peak: float, settings: Featurize) -> _Contours:
    """Contours of samples [samples] that swing around 0, out of a clip that reaches ``peak``."""
    hop = settings.hop_length
    count = 1 + len(samples) // hop
    f0, hnr, intensity = np.zeros((3, count))
    formants, voice_quality = np.zeros((count, FORMANTS)), np.zeros(len(_VOICE_QUALITY))
    if settings.frames.intensity or settings.functionals.rhythm:
        intensity = _intensity(samples, count, settings)
    audible = _audible(samples, peak, count, settings)
    if needs_f0(settings) and audible.any():
        f0, hnr, voice_quality = _voice(samples, peak, audible, settings)
    if settings.frames.formants and f0.any():
        formants = _formants(samples, f0 > 0, settings)
    return _Contours(f0, hnr, intensity, formants, voice_quality)


def _audible(samples: np.ndarray, peak: float, count: int, settings: Featurize) -> np.ndarray:
    """Frames [frames] in which Praat's pitch analysis could find voice.

    Praat lets silence win over the strongest periodicity where the samples within half the longest period stay below
    ``_SILENCE / (1 + _VOICING)`` of the peak, so frames below that need no analysis.
    """
    if peak < _INAUDIBLE:
        return np.zeros(count, dtype=bool)
    hop = settings.hop_length
    cells = np.zeros(count * hop, dtype=samples.dtype)
    cells[: len(samples)] = samples
    cells = cells.reshape(count, hop)
    loud = np.maximum(cells.max(axis=1), -cells.min(axis=1)) > peak * _SILENCE / (1 + _VOICING)
    return _widened(loud, math.ceil(SAMPLE_RATE / settings.f0_min / 2 / hop))


def _widened(mask: np.ndarray, frames: int) -> np.ndarray:
    """A mask [frames] in which the neighbours up to a distance of those that are set are set, too."""
    import scipy.ndimage

    return scipy.ndimage.binary_dilation(mask, np.ones(2 * frames + 1, dtype=bool))


class _Excerpt(NamedTuple):
    """The parts of a clip around some frames in one row, as Praat shall see them.

    ``sound`` is such that Praat's analysis with the same hop and window has its frames on :attr:`kept` frames of the
    clip, in order (bool [frames], with ``margin`` frames before the clip and after it).
    """

    sound: parselmouth.Sound
    kept: np.ndarray
    margin: int

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values [kept frames, ...] in their places among all frames; 0 elsewhere."""
        every = np.zeros((len(self.kept), *values.shape[1:]))
        every[self.kept] = values
        return every[self.margin : len(every) - self.margin]


def _excerpt(
    samples: np.ndarray, wanted: np.ndarray, hop: int, window: float, rate: int, resampled: _Resampling = resample
) -> _Excerpt:
    """What lies within half a ``window`` (seconds) of the wanted frames [frames], at another sampling rate."""
    import parselmouth

    margin = math.ceil(window * SAMPLE_RATE / 2 / hop)
    cells = np.zeros((len(wanted) + 2 * margin, hop), dtype=np.float32)
    cells.reshape(-1)[margin * hop : margin * hop + len(samples)] = samples
    kept = _widened(np.pad(wanted, margin), margin)
    row = resampled(cells[kept].reshape(-1)[:-hop], SAMPLE_RATE, rate)
    # Praat centres as many frames as fit: with half a window before the first frame and after the last they are ours.
    # The sample more keeps rounding from costing one, and the frames' centres stay between two samples.
    row = np.pad(row, math.ceil(window * rate / 2) + 1)
    return _Excerpt(parselmouth.Sound(row.astype(np.float64), rate), kept, margin)


def _fourier_resampled(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Samples at another rate by the Fourier transform, as Praat does it.

    All is kept up to the edge of the new band; a filter that falls off before it, as :func:`emodag.audio.resample` has
    it, moves the formants by 3 %.
    """
    import scipy.fft

    common = math.gcd(rate, target)
    # Zeros up to a length that is a whole number of periods of both rates, and fast to transform.
    parts = scipy.fft.next_fast_len(math.ceil(len(samples) * common / rate), real=True)
    padded = np.pad(samples, (0, parts * rate // common - len(samples)))
    length = parts * target // common
    # As scipy.signal.resample, which takes long to import.
    shared = min(length, len(padded))
    spectrum = scipy.fft.rfft(padded)[: shared // 2 + 1]
    if shared % 2 == 0 and length != len(padded):
        spectrum[shared // 2] *= 2 if length < len(padded) else 0.5
    whole = scipy.fft.irfft(spectrum / (len(padded) / length), n=length, overwrite_x=True)
    return whole[: round(len(samples) * target / rate)]


def _voice(
    samples: np.ndarray, peak: float, audible: np.ndarray, settings: Featurize
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F0 in Hz and HNR in dB [frames], and voice quality."""
    hop = settings.hop_length
    excerpt = _excerpt(samples, audible, hop, _PITCH_PERIODS / settings.f0_min, _PITCH_RATE)
    # Silence is relative to the loudest sample of the clip, which Praat does not see in a block.
    loudest = max(np.abs(excerpt.sound.values).max(), _INAUDIBLE)
    pitch = excerpt.sound.to_pitch_ac(
        time_step=hop / SAMPLE_RATE,
        pitch_floor=settings.f0_min,
        max_number_of_candidates=_CANDIDATES,
        silence_threshold=_SILENCE * peak / loudest,
        voicing_threshold=_VOICING,
        pitch_ceiling=settings.f0_max,
    )
    found = pitch.selected_array
    f0 = excerpt.spread(found["frequency"])
    strength = np.minimum(excerpt.spread(found["strength"]), 1 / (1 + 10 ** (-HNR_MAX / 10)))
    hnr = np.zeros(len(f0))
    np.log10(strength / (1 - strength), out=hnr, where=f0 > 0)
    wanted = settings.functionals.voice_quality and f0.any()
    quality = _voice_quality(excerpt.sound, pitch, settings.f0_min) if wanted else np.zeros(len(_VOICE_QUALITY))
    return f0, 10 * hnr, quality


def _voice_quality(sound: parselmouth.Sound, pitch: parselmouth.Pitch, f0_min: float) -> np.ndarray:
    """Jitter and shimmer as ``_VOICE_QUALITY`` names them; 0 where there are too few periods."""
    from parselmouth.praat import call

    pulses = call([sound, pitch], "To PointProcess (cc)")
    # The whole sound, periods from 0.1 ms to 1.5 times the longest, neighbours within a factor of 1.3: with
    # f0_min = 75 Hz, Praat's standard.
    periods = (0, 0, 1e-4, 1.5 / f0_min, 1.3)
    values = [
        call(pulses, "Get jitter (local)", *periods),
        call(pulses, "Get jitter (rap)", *periods),
        call([sound, pulses], "Get shimmer (local_dB)", *periods, 1.6),
        call([sound, pulses], "Get shimmer (apq3)", *periods, 1.6),
    ]
    return np.nan_to_num(values)


def _intensity(samples: np.ndarray, count: int, settings: Featurize) -> np.ndarray:
    """Intensity in dB re 20 µPa [frames]."""
    hop = settings.hop_length
    # Praat's definition and window; but that is so smooth that it may weigh the energy of short cells instead of every
    # sample, in less than a quarter of the time (0.1 instead of 0.4 ms for a second of CREMA-D, and 0.02 dB apart).
    cell = max(size for size in range(1, _INTENSITY_CELL + 1) if hop % size == 0)
    per_hop = hop // cell
    weights = _kaiser(round(_INTENSITY_PERIODS / settings.f0_min * SAMPLE_RATE / cell / 2))
    # An even number of cells has its middle where a frame has its centre: between two cells.
    before = len(weights) // 2 * cell
    padded = np.zeros(before + (count - 1) * hop + before, dtype=samples.dtype)
    inside = samples[: len(padded) - before]
    padded[before : before + len(inside)] = inside
    cells = padded.reshape(-1, cell)
    squares, values = (
        sliding_window_view(of_cells, len(weights))[::per_hop]
        for of_cells in (np.einsum("ij,ij->i", cells, cells) / cell, cells.mean(axis=1))
    )
    # Praat takes the mean of each window off, which leaves rumble below speech out.
    mean = values.mean(axis=1)
    mean_square = squares @ weights - 2 * mean * (values @ weights) + mean**2
    return np.maximum(10 * np.log10(np.maximum(mean_square, _HEARING**2) / _HEARING**2), 0)


@lru_cache(maxsize=8)
def _kaiser(half: int) -> np.ndarray:
    """Praat's window for intensity over ``2 * half`` cells; its sum is 1."""
    weights = np.kaiser(2 * max(1, half), 2 * np.pi**2 + 0.5)
    weights /= weights.sum()
    weights.setflags(write=False)
    return weights


def _formants(samples: np.ndarray, voiced: np.ndarray, settings: Featurize) -> np.ndarray:
    """F1 to F3 in Hz [frames, 3], 0 where unvoiced."""
    # Formants move slowly: they are sought in every few frames, all around each voiced one, and interpolated.
    stride = max(1, int(_FORMANT_STEP * SAMPLE_RATE) // settings.hop_length)
    frames = np.arange(len(voiced))
    coarse = frames[::stride]
    wanted = _widened(voiced, stride - 1)[::stride]
    hop = stride * settings.hop_length
    rate = round(2 * settings.max_formant)
    excerpt = _excerpt(samples, wanted, hop, 2 * _FORMANT_WINDOW, rate, _fourier_resampled)
    found = excerpt.sound.to_formant_burg(
        time_step=hop / SAMPLE_RATE,
        max_number_of_formants=5,
        maximum_formant=rate / 2,
        window_length=_FORMANT_WINDOW,
        pre_emphasis_from=50,
    )
    times = found.xs()
    formants = np.zeros((len(voiced), FORMANTS))
    for number in range(FORMANTS):
        values = excerpt.spread(np.nan_to_num([found.get_value_at_time(number + 1, time) for time in times]))
        known = wanted & (values > 0)
        if known.any():
            formants[voiced, number] = np.interp(frames[voiced], coarse[known], values[known])
    return formants


def _semitones(f0: np.ndarray) -> np.ndarray:
    """Semitones above 27.5 Hz; 0 where unvoiced."""
    semitones = np.zeros(len(f0))
    np.log2(f0 / SEMITONE_REFERENCE, out=semitones, where=f0 > 0)
    return 12 * semitones


def _voiced_stretches(voiced: np.ndarray, hop: float, duration: float) -> tuple[float, float, float, float]:
    """Share of voiced frames; stretches of them per second; mean and standard deviation of their length in seconds."""
    changes = np.flatnonzero(np.diff(voiced, prepend=False, append=False))
    lengths = np.diff(changes)[::2] * hop
    if not len(lengths):
        return 0.0, 0.0, 0.0, 0.0
    return float(voiced.mean()), len(lengths) / duration, float(lengths.mean()), float(lengths.std())


def _syllables(intensity: np.ndarray, voiced: np.ndarray) -> int:
    """Syllable nuclei: voiced peaks of intensity (dB) [frames] between dips of 2 dB."""
    # The 99th percentile for the loudest frame, so that a click does not count as one (de Jong and Wempe).
    threshold = np.percentile(intensity, 99) - 25
    from emodag.features import kernels

    peaks = kernels.peaks(np.ascontiguousarray(intensity, np.float64), threshold, 2.0)
    return int(np.count_nonzero(voiced & peaks))


def _pauses(turns: Turns, duration: float) -> tuple[float, float, float]:
    """Pauses between turns per second, their mean length in seconds, and their share of the time."""
    inside = sorted((max(start, 0.0), min(end, duration)) for start, end in turns if start < duration and end > 0)
    if not inside:
        return 0.0, 0.0, 0.0
    ends = np.maximum.accumulate([end for _, end in inside])
    gaps = np.array([start for start, _ in inside[1:]]) - ends[:-1]
    gaps = gaps[gaps > 0]
    span = ends[-1] - inside[0][0]
    if not len(gaps):
        return 0.0, 0.0, 0.0
    return len(gaps) / span, float(gaps.mean()), float(gaps.sum() / span)
