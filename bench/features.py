"""How fast features are computed on one core, beside other ways to compute them: ``make bench-features CORPORA=PATH``.

All methods see the same decoded RAVDESS clips (every 12th), and each is timed by the CPU time of its process, over
several rounds through all clips; the figures are audio seconds per CPU second, medians over the rounds. Methods take
turns in each round, so that other load on the machine meets all alike. The table is printed and written to
``bench/results/features.json``.
"""

from __future__ import annotations

import os

# Before NumPy reads it: one core means one thread.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
import scipy.signal
from numpy.lib.stride_tricks import sliding_window_view

from _checkout import ROOT, corpora_in
from emodag import audio, params
from emodag.errors import ParamsError
from emodag.features import egemaps, extract, spectral
from emodag.features.functionals import functionals
from emodag.files import write_json

RATE = audio.SAMPLE_RATE
EVERY = 12
ROUNDS = 3

Method = Callable[[np.ndarray], object]


def everything(n_fft: int) -> params.Featurize:
    """The usual settings with every statistic and every group but ``mel``, which repeats ``log_mel`` as power."""
    usual = params.load(ROOT / "params.yaml").featurize
    groups = {group: group != "mel" for group in params.FrameGroups.model_fields}
    statistics = dict.fromkeys(params.Statistics.model_fields, True) | {"percentiles": [5, 50, 95]}
    return params.Featurize.model_validate(
        usual.model_dump() | {"frames": groups, "functionals": statistics, "n_fft": n_fft}
    )


def by_librosa(samples: np.ndarray, settings: params.Featurize) -> list[np.ndarray]:
    """The same features, each by its own function on the samples, as its documentation shows.

    Kinder to librosa than that where it has none: the band energy ratio is taken from one spectrum, the onset strength
    stands for the flux, and tonnetz for one from the STFT, since its own on samples is many times slower.
    """
    transform = {"n_fft": settings.n_fft, "win_length": settings.win_length, "hop_length": settings.hop_length}
    bands = {"n_mels": settings.n_mels, "fmin": settings.fmin, "fmax": settings.fmax}
    framing = {"frame_length": settings.win_length, "hop_length": settings.hop_length}
    feature, given = librosa.feature, {"y": samples, "sr": RATE}
    mfcc = feature.mfcc(**given, n_mfcc=settings.n_mfcc, **transform, **bands)
    power = np.abs(librosa.stft(samples, **transform)) ** 2
    below = librosa.fft_frequencies(sr=RATE, n_fft=settings.n_fft) < settings.band_split
    return [
        librosa.power_to_db(feature.melspectrogram(**given, **transform, **bands), top_db=settings.top_db),
        mfcc,
        feature.delta(mfcc),
        feature.delta(mfcc, order=2),
        feature.chroma_stft(**given, tuning=0.0, **transform),
        feature.rms(y=samples, **framing),
        feature.zero_crossing_rate(samples, **framing),
        power[below].sum(axis=0) / np.maximum(power.sum(axis=0), spectral.FLOOR),
        feature.spectral_centroid(**given, **transform),
        feature.spectral_bandwidth(**given, **transform),
        feature.spectral_rolloff(**given, roll_percent=settings.rolloff, **transform),
        feature.spectral_flatness(y=samples, **transform),
        librosa.onset.onset_strength(**given, n_fft=settings.n_fft, hop_length=settings.hop_length),
        feature.spectral_contrast(**given, **transform),
        feature.tonnetz(chroma=feature.chroma_stft(**given, tuning=0.0, **transform), sr=RATE),
    ]


def transforms(settings: params.Featurize, dtype: type) -> Method:
    """Framing, window and FFT alone, by scipy, of as many frames at a time as the features take."""
    window = scipy.signal.get_window("hann", settings.win_length).astype(dtype)
    most = spectral.BLOCK // settings.n_fft

    def transform(samples: np.ndarray) -> None:
        padded = np.pad(samples, settings.win_length // 2)
        frames = sliding_window_view(padded, settings.win_length)[:: settings.hop_length]
        windowed = np.zeros((min(most, len(frames)), settings.n_fft), dtype)
        for start in range(0, len(frames), most):
            block = frames[start : start + most]
            np.multiply(block, window, out=windowed[: len(block), : settings.win_length])
            scipy.fft.rfft(windowed[: len(block)], axis=1, workers=1)

    return transform


def rate(method: Method, clips: list[np.ndarray]) -> float:
    """Audio seconds per CPU second in one round."""
    start = time.process_time()
    for samples in clips:
        method(samples)
    return sum(map(len, clips)) / RATE / (time.process_time() - start)


def measured(methods: dict[str, Method], clips: list[np.ndarray]) -> dict[str, int]:
    rates: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():
        method(clips[0])  # compiles, loads, fills caches
    for _ in range(ROUNDS):
        for name, method in methods.items():
            rates[name].append(rate(method, clips))
    return {name: round(statistics.median(found)) for name, found in rates.items()}


def methods_at(settings: params.Featurize) -> dict[str, Method]:
    return {
        "emodag_spectral": lambda samples: spectral.frames(samples, settings),
        "librosa": lambda samples: by_librosa(samples, settings),
        # As librosa's STFT makes them, in double precision; and in single, several at once in vector registers.
        "fft": transforms(settings, np.float64),
        "fft_float32": transforms(settings, np.float32),
        "librosa_stft": lambda samples: librosa.stft(
            samples, n_fft=settings.n_fft, win_length=settings.win_length, hop_length=settings.hop_length
        ),
    }


def main() -> None:
    place = corpora_in(Path(sys.argv[1])).get("ravdess") if sys.argv[1:] and sys.argv[1] else None
    if place is None:
        sys.exit("no RAVDESS: make bench-features CORPORA=PATH, where PATH holds ravdess/")
    files = sorted(path for path in place.rglob("*") if path.suffix in (".flac", ".wav"))[::EVERY]
    clips = [audio.resample(recording.samples, recording.rate) for recording in map(audio.read, files)]

    usual = params.load(ROOT / "params.yaml").featurize
    methods = methods_at(everything(usual.n_fft))
    full = everything(usual.n_fft)
    methods["emodag_full"] = lambda samples: extract(samples, full)
    groups = spectral.names(full)
    frames = {id(samples): spectral.frames(samples, full) for samples in clips}
    methods["functionals"] = lambda samples: functionals(
        frames[id(samples)], groups, full, np.ones(len(frames[id(samples)]), bool)
    )
    try:
        egemaps.names()
        methods["opensmile_egemaps"] = egemaps.functionals
    except ParamsError as error:
        print(f"without opensmile: {error}")
    found = measured(methods, clips)
    other = {512: 1024, 1024: 512}.get(usual.n_fft, 512)
    at_other = measured(methods_at(everything(other)), clips)
    for name, value in found.items():
        print(f"{name:<20} {value:>7} audio s / CPU s{f'{at_other[name]:>9}' if name in at_other else ''}")
    for label, rates in ((usual.n_fft, found), (other, at_other)):
        print(f"n_fft {label}: {rates['emodag_spectral'] / rates['librosa']:.1f} x librosa, "
              f"{rates['emodag_spectral'] / rates['fft']:.2f} x the FFTs alone in double precision, "
              f"{rates['emodag_spectral'] / rates['fft_float32']:.2f} x in single")  # fmt: skip
    write_json(
        ROOT / "bench" / "results" / "features.json",
        {
            "unit": "audio seconds per CPU second",
            "clips": len(clips),
            "audio_s": round(sum(map(len, clips)) / RATE, 1),
            "rounds": ROUNDS,
            "n_fft": usual.n_fft,
            **found,
            f"n_fft_{other}": at_other,
        },
    )


if __name__ == "__main__":
    main()
