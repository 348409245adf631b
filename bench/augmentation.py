"""How fast each transform, the default chain and the cleaning are: ``make bench-augmentation CORPORA=PATH``.

Over the same decoded RAVDESS clips (every 12th file by name), on one core: seconds of audio per second of CPU time, in
memory, without reading and writing. The table is printed and written to ``bench/results/augmentation.json``.
"""

from __future__ import annotations

import os
import sys

# Before NumPy reads it: one core means one thread.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile
from pydantic import TypeAdapter

from _checkout import ROOT, corpora_in
from emodag import audio, params
from emodag.augmentation import Recordings, augment
from emodag.cleaning import denoise, gate
from emodag.files import write_json
from emodag.params import Transform

#: Each kind at the values that the documentation shows; p: 1, so that every clip gets it.
TRANSFORMS = [
    {"kind": "noise", "source": "white", "min_snr": 10.0, "max_snr": 30.0},
    {"kind": "noise", "source": "pink", "min_snr": 10.0, "max_snr": 30.0},
    {"kind": "noise", "source": "recordings", "min_snr": 10.0, "max_snr": 30.0},
    {"kind": "time_stretch", "min_rate": 0.85, "max_rate": 1.15},
    {"kind": "speed", "min_rate": 0.9, "max_rate": 1.1},
    {"kind": "pitch_shift", "min_semitones": -2.0, "max_semitones": 2.0},
    {"kind": "time_shift", "min_shift": -0.1, "max_shift": 0.1},
    {"kind": "echo", "min_delay": 0.05, "max_delay": 0.3, "min_db": -20.0, "max_db": -6.0},
    {"kind": "reverb", "source": "room", "min_rt60": 0.2, "max_rt60": 0.6},
    {"kind": "reverb", "source": "recordings"},
    {"kind": "gain", "min_db": -12.0, "max_db": 12.0},
    {"kind": "telephone"},
    {"kind": "denoise", "min_strength": 0.5, "max_strength": 1.0},
]


def decoded(corpora: Path) -> list[np.ndarray]:
    """Every 12th clip of RAVDESS: all speakers, emotions and sentences."""
    found = corpora_in(corpora)
    if "ravdess" not in found:
        sys.exit(f"no RAVDESS in {corpora}: make bench-augmentation CORPORA=PATH")
    files = sorted(path for path in found["ravdess"].rglob("*") if path.suffix.lower() in (".wav", ".flac", ".opus"))
    recordings = (audio.read(path) for path in files[::12])
    return [audio.resample(recording.samples, recording.rate) for recording in recordings]


def recorded(root: Path) -> None:
    """A minute of noise and the response of a room, as a user would put them there."""
    generator = np.random.default_rng(0)
    decay = np.exp(-np.arange(8000) / 800)
    for name, sound in {
        "noise/street.flac": 0.1 * generator.standard_normal(60 * audio.SAMPLE_RATE),
        "impulse_responses/hall.flac": 0.3 * decay * generator.standard_normal(8000),
    }.items():
        (root / name).parent.mkdir()
        soundfile.write(root / name, sound, audio.SAMPLE_RATE)


def times_real_time(clips: Iterable[np.ndarray], work: Callable[[np.ndarray, int], object], repeats: int = 1) -> float:
    """Seconds of audio per second of CPU time; the first clip is worked on once before, for imports and tables."""
    clips = list(clips)
    work(clips[0], 0)
    start = time.process_time()
    for repeat in range(repeats):
        for number, clip in enumerate(clips):
            work(clip, repeat * len(clips) + number)
    seconds = sum(map(len, clips)) / audio.SAMPLE_RATE * repeats
    return round(seconds / (time.process_time() - start))


def main() -> None:
    clips = decoded(Path(sys.argv[1] if sys.argv[1:] and sys.argv[1] else "../shared/corpora"))
    defaults = params.load(ROOT / "params.yaml")
    chains = {
        " ".join([values["kind"], *([values["source"]] if "source" in values else [])]): [values | {"p": 1.0}]
        for values in TRANSFORMS
    }
    chains = {name: TypeAdapter(list[Transform]).validate_python(chain) for name, chain in chains.items()}
    with tempfile.TemporaryDirectory() as folder:
        recorded(Path(folder))
        speeds = {}
        for name, chain in (chains | {"default chain": defaults.augment.chain}).items():
            recordings = Recordings.of(chain, Path(folder))
            speeds[name] = times_real_time(
                clips,
                lambda clip, seed, chain=chain, recordings=recordings: augment(
                    clip, chain, np.random.default_rng(seed), recordings
                ),
                repeats=3 if name == "default chain" else 1,
            )
    cleaning = defaults.featurize.clean
    speeds["clean: gate"] = times_real_time(clips, lambda clip, _: gate(clip, cleaning.gate_db, cleaning.gate_window))
    speeds["clean: denoise"] = times_real_time(clips, lambda clip, _: denoise(clip, cleaning.denoise_strength))
    for name, speed in speeds.items():
        print(f"{name:<20} {speed:>7} x real time")
    seconds = sum(map(len, clips)) / audio.SAMPLE_RATE
    write_json(
        ROOT / "bench" / "results" / "augmentation.json",
        {"clips": len(clips), "seconds": round(seconds, 1), "times_real_time": speeds},
    )


if __name__ == "__main__":
    main()
