"""How right and how fast emodag's F0 is beside other ways to get it: ``make bench-pitch [CORPORA=PATH]``.

Synthesised vowels have a known F0: glides with vibrato between 75 and 370 Hz through three vowels' resonances, between
stretches of hiss and of silence, in white noise. On EmoDB clips, which have no true F0, the reference is Praat's
autocorrelation method at 16 kHz with its standard settings. For each method: the share of frames that the reference and
the method call voiced whose F0 is more than 20 % off (gross pitch error), the median distance of the other ones in
cents, the share of all frames with another voicing decision, and the audio seconds that one second of CPU time handles.
Last, what HNR tells of emotion on EmoDB at three sampling rates. The table is printed and written to
``bench/results/pitch.json``.
"""

from __future__ import annotations

import math
import os
import sys

# Before NumPy reads it: one core means one thread.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import parselmouth
import scipy.signal
import soxr

from _checkout import ROOT, corpora_in
from emodag import audio, params
from emodag.features import prosody
from emodag.files import write_json

RATE = audio.SAMPLE_RATE
SETTINGS = params.load(ROOT / "params.yaml").featurize
HOP = SETTINGS.hop_length
VOWELS = ((700, 1200, 2500, 3500), (300, 2200, 2900, 3500), (400, 800, 2400, 3500))
CLIPS = 16
REPETITIONS = 3

#: Nothing but F0, so that the speed is that of the F0 analysis.
_OFF = dict.fromkeys(type(SETTINGS.frames).model_fields, False)
ONLY_F0 = SETTINGS.model_copy(
    update={
        "frames": type(SETTINGS.frames)(**(_OFF | {"f0": True})),
        "functionals": SETTINGS.functionals.model_copy(update={"voice_quality": False, "rhythm": False}),
    }
)


def emodag(samples: np.ndarray) -> np.ndarray:
    """F0 in Hz [frames], 0 where unvoiced; so do all methods below."""
    found = prosody.analyse(samples, ONLY_F0, 1 + len(samples) // HOP)
    return found.voiced * prosody.SEMITONE_REFERENCE * 2 ** (found.frames[:, 0] / 12)


def praat(samples: np.ndarray, rate: int = RATE) -> np.ndarray:
    """Praat's autocorrelation method with its standard settings, all of the clip."""
    return _praat(samples, rate)["frequency"]


def _praat(samples: np.ndarray, rate: int) -> np.ndarray:
    """``frequency`` in Hz and ``strength`` of the path that Praat finds [frames]."""
    # Half a window at both ends puts Praat's frames on the grid; a multiple of 4 samples stays whole at all rates.
    half_window = 4 * math.ceil(1.5 / SETTINGS.f0_min * RATE / 4 + 0.25)
    padded = np.pad(samples[: len(samples) // HOP * HOP].astype(np.float64), half_window)
    if rate != RATE:
        padded = soxr.resample(padded, RATE, rate)
    pitch = parselmouth.Sound(padded, rate).to_pitch_ac(
        time_step=HOP / RATE, pitch_floor=SETTINGS.f0_min, pitch_ceiling=SETTINGS.f0_max
    )
    return pitch.selected_array


def praat_8_khz(samples: np.ndarray) -> np.ndarray:
    """The same on a copy at 8 kHz, which is what emodag does where the clip is audible."""
    return praat(samples, 8000)


def praat_4_khz(samples: np.ndarray) -> np.ndarray:
    """The same on a copy at 4 kHz."""
    return praat(samples, 4000)


def pyin(samples: np.ndarray) -> np.ndarray:
    """Probabilistic YIN (Mauch and Dixon 2014) by librosa."""
    f0, voiced, _ = librosa.pyin(
        samples, fmin=SETTINGS.f0_min, fmax=SETTINGS.f0_max, sr=RATE, frame_length=1024, hop_length=HOP
    )
    return np.where(voiced, f0, 0)


def yin(samples: np.ndarray) -> np.ndarray:
    """YIN (de Cheveigné and Kawahara 2002) by librosa, which calls every frame voiced."""
    return librosa.yin(samples, fmin=SETTINGS.f0_min, fmax=SETTINGS.f0_max, sr=RATE, frame_length=1024, hop_length=HOP)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "emodag": emodag,
    "praat": praat,
    "praat_8_khz": praat_8_khz,
    "praat_4_khz": praat_4_khz,
    "librosa_pyin": pyin,
    "librosa_yin": yin,
}


def phrase(seed: int, snr: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Vowels of known F0 in noise [samples], and their F0 in Hz [frames], 0 where unvoiced."""
    rng = np.random.default_rng([seed, 1])
    sounds, tracks = [np.zeros(RATE // 4)], [np.zeros(RATE // 4)]
    middle = 100 * 2 ** (seed % 4 / 2)
    for resonances in VOWELS:
        length = round(rng.uniform(0.3, 0.6) * RATE)
        clock = np.arange(length) / RATE
        ends = middle * 2 ** rng.uniform(-0.4, 0.4, 2)
        f0 = np.geomspace(*ends, length) * 2 ** (0.02 * np.sin(2 * np.pi * 5.5 * clock))
        phase = np.cumsum(f0) / RATE
        source = sum(
            np.where(number * f0 < RATE / 2, np.cos(2 * np.pi * number * phase) / number, 0) for number in range(1, 60)
        )
        vowel = _resonant(source, resonances)
        hiss = 0.1 * rng.standard_normal(round(0.1 * RATE))
        edges = np.minimum(1, np.minimum(clock, clock[::-1]) / 0.02)
        for sound, track in ((0.5 * edges * vowel, f0), (hiss, 0 * hiss), (np.zeros(RATE // 10), np.zeros(RATE // 10))):
            sounds.append(sound)
            tracks.append(track)
    samples, track = np.concatenate(sounds), np.concatenate(tracks)
    if snr is not None:
        power = np.mean(samples[track > 0] ** 2)
        samples = samples + rng.standard_normal(len(samples)) * np.sqrt(power * 10 ** (-snr / 10))
    frames = np.arange(1 + len(samples) // HOP) * HOP
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32), np.append(track, 0)[frames]


def _resonant(source: np.ndarray, resonances: tuple[int, ...]) -> np.ndarray:
    for centre in resonances:
        pole = np.exp(-np.pi * (50 + centre / 20) / RATE + 2j * np.pi * centre / RATE)
        source = scipy.signal.lfilter([abs(1 - pole) ** 2], np.poly([pole, pole.conj()]).real, source)
    return source / np.abs(source).max()


def errors(found: list[np.ndarray], expected: list[np.ndarray]) -> dict[str, float]:
    """Gross pitch error and voicing decision error in percent, and the median of the fine error in cents."""
    f0, truth = np.concatenate(found), np.concatenate(expected)
    both = (f0 > 0) & (truth > 0)
    ratio = f0[both] / truth[both]
    gross = np.abs(ratio - 1) > 0.2
    return {
        "gross_pitch_error": round(100 * float(gross.mean()), 2),
        "fine_error_cents": round(float(np.median(np.abs(1200 * np.log2(ratio[~gross])))), 1),
        "voicing_error": round(100 * float(np.mean((f0 > 0) != (truth > 0))), 1),
    }


def speed(method: Callable[[np.ndarray], np.ndarray], clips: list[np.ndarray]) -> float:
    """Audio seconds per second of CPU time, the median of some repetitions."""
    seconds = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        for samples in clips:
            method(samples)
        seconds.append(time.process_time() - start)
    return round(sum(map(len, clips)) / RATE / float(np.median(seconds)), 1)


def emotion_in_hnr(paths: list[Path], rate: int) -> float:
    """Share of the variance of clips' mean HNR, standardised by speaker, that lies between emotions (eta squared).

    EmoDB's file names begin with the speaker's number and hold the emotion's letter in the sixth place.
    """
    rows = []
    for path in paths:
        found = _praat(audio.load(path), rate)
        strength = np.clip(found["strength"][found["frequency"] > 0], 0.01, 0.9999)
        rows.append((path.name[:2], path.name[5], np.mean(10 * np.log10(strength / (1 - strength)))))
    table = pd.DataFrame(rows, columns=["speaker", "emotion", "hnr"])
    by_speaker = table.groupby("speaker")["hnr"]
    table["hnr"] = (table["hnr"] - by_speaker.transform("mean")) / by_speaker.transform("std")
    between = table.groupby("emotion")["hnr"].transform("mean")
    return round(float(between.var() / table["hnr"].var()), 2)


def main() -> None:
    emodb = corpora_in(Path(sys.argv[1])).get("emodb") if sys.argv[1:] and sys.argv[1] else None
    sets = {
        name: list(zip(*(phrase(seed, snr) for seed in range(CLIPS)), strict=True))
        for name, snr in (("clean", None), ("20_db", 20), ("10_db", 10))
    }
    if emodb is not None:
        paths = sorted(path for path in emodb.rglob("*") if path.suffix in (".flac", ".wav"))
        clips = [audio.load(path) for path in paths[:: max(1, len(paths) // CLIPS)]]
        sets["emodb"] = [clips, [praat(samples) for samples in clips]]
    table = {}
    for name, method in METHODS.items():
        scores = {
            condition: errors([method(samples) for samples in clips], truth)
            for condition, (clips, truth) in sets.items()
        }
        table[name] = {"audio_s_per_cpu_s": speed(method, list(sets.get("emodb", sets["clean"])[0])), **scores}
        print(f"{name:<14} {table[name]['audio_s_per_cpu_s']:>7.1f} x", *map(dict.values, scores.values()))
    if emodb is not None:
        for name, rate in (("praat", RATE), ("praat_8_khz", 8000), ("praat_4_khz", 4000)):
            table[name]["emotion_in_hnr"] = emotion_in_hnr(paths[::3], rate)
            print(f"{name:<14} {table[name]['emotion_in_hnr']:.2f} of the variance of HNR lies between emotions")
    write_json(ROOT / "bench" / "results" / "pitch.json", table)


if __name__ == "__main__":
    main()
