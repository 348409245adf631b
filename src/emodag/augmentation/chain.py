"""One variant of one clip: which transforms it gets, with which values, and where its speech then lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from emodag.audio import SAMPLE_RATE
from emodag.params import Transform

#: What a transform did: its ``kind`` and the values drawn.
Setting = dict[str, Any]

#: Below this a phase-vocoder has no frame to work on: stretching and shifting pitch are left out (s).
SHORTEST = 0.064


def augment(
    samples: np.ndarray, chain: Sequence[Transform], generator: np.random.Generator
) -> tuple[np.ndarray, list[Setting]]:
    """Draw a variant of a clip.

    Each transform of the chain is applied, in order, with its own probability and with values drawn uniformly from its
    range. Where chance would apply none, one is chosen at random, so that a variant always differs from its parent.

    Args:
        samples: float32 ``[samples]`` at 16 kHz; not changed.
        chain: the transforms.
        generator: the source of every draw: the same state gives the same variant.

    Returns:
        The variant, float32 ``[samples']`` within [-1, 1], and the settings of what was applied, in order.
    """
    possible = [transform for transform in chain if _applies(transform, samples)]
    chosen = [transform for transform in possible if generator.random() < transform.p]
    if not chosen and possible:
        chosen = [possible[generator.integers(len(possible))]]
    settings = []
    variant = samples.astype(np.float32, copy=True)
    for transform in chosen:
        setting = _DRAW[transform.kind](transform, generator)
        variant = _APPLY[transform.kind](variant, setting)
        settings.append(setting)
    # What noise or interpolation pushes past full scale would be clipped when written; scaling keeps the waveform.
    peak = float(np.max(np.abs(variant), initial=0.0))
    return (variant / peak if peak > 1 else variant), settings


def carry(
    spans: Iterable[tuple[float, float]], settings: Iterable[Setting], duration: float
) -> list[tuple[float, float]]:
    """Where stretches of a clip lie in its variant.

    Args:
        spans: start and end in the parent, in seconds.
        settings: what was applied to the parent.
        duration: of the parent, in seconds.

    Returns:
        Start and end in the variant, in seconds; what was moved out of it is left out.
    """
    spans = list(spans)
    for setting in settings:
        match setting["kind"]:
            case "time_stretch":
                duration /= setting["rate"]
                spans = [(start / setting["rate"], end / setting["rate"]) for start, end in spans]
            case "time_shift":
                moved = setting["shift"] * duration
                spans = [(start + moved, end + moved) for start, end in spans]
    inside = ((max(0.0, start), min(duration, end)) for start, end in spans)
    return [(start, end) for start, end in inside if end > start]


def _applies(transform: Transform, samples: np.ndarray) -> bool:
    """Whether a transform can do anything to a clip: noise needs a signal to relate to, vocoders need some length."""
    if transform.kind == "noise":
        return bool(np.any(samples))
    if transform.kind in ("time_stretch", "pitch_shift"):
        return len(samples) >= SHORTEST * SAMPLE_RATE
    return True


def _uniform(generator: np.random.Generator, low: float, high: float) -> float:
    # Rounded so that the recorded value is exactly the applied one.
    return round(float(generator.uniform(low, high)), 6)


_DRAW: dict[str, Callable[[Any, np.random.Generator], Setting]] = {
    "noise": lambda transform, generator: {
        "kind": "noise",
        "snr": _uniform(generator, transform.min_snr, transform.max_snr),
        "seed": int(generator.integers(2**32)),
    },
    "time_stretch": lambda transform, generator: {
        "kind": "time_stretch",
        "rate": _uniform(generator, transform.min_rate, transform.max_rate),
    },
    "pitch_shift": lambda transform, generator: {
        "kind": "pitch_shift",
        "semitones": _uniform(generator, transform.min_semitones, transform.max_semitones),
    },
    "time_shift": lambda transform, generator: {
        "kind": "time_shift",
        "shift": _uniform(generator, transform.min_shift, transform.max_shift),
    },
}


def _noise(samples: np.ndarray, setting: Setting) -> np.ndarray:
    # Not audiomentations' AddGaussianSNR: it draws from the global generators, and it scales the noise by its expected
    # level, which on a clip of 10 ms misses the ratio by more than half a decibel.
    noise = np.random.default_rng(setting["seed"]).standard_normal(len(samples), dtype=np.float32)
    wanted = _level(samples) * 10 ** (-setting["snr"] / 20)
    return samples + noise * np.float32(wanted / _level(noise))


def _level(samples: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _time_stretch(samples: np.ndarray, setting: Setting) -> np.ndarray:
    from audiomentations import TimeStretch

    # Its default keeps the length, which would cut the end off a slowed clip.
    stretch = TimeStretch(min_rate=setting["rate"], max_rate=setting["rate"], leave_length_unchanged=False, p=1.0)
    return stretch(samples, SAMPLE_RATE)


def _pitch_shift(samples: np.ndarray, setting: Setting) -> np.ndarray:
    from audiomentations import PitchShift

    semitones = setting["semitones"]
    return PitchShift(min_semitones=semitones, max_semitones=semitones, p=1.0)(samples, SAMPLE_RATE)


def _time_shift(samples: np.ndarray, setting: Setting) -> np.ndarray:
    from audiomentations import Shift

    return Shift(min_shift=setting["shift"], max_shift=setting["shift"], rollover=False, fade_duration=0.0, p=1.0)(
        samples, SAMPLE_RATE
    )


_APPLY: dict[str, Callable[[np.ndarray, Setting], np.ndarray]] = {
    "noise": _noise,
    "time_stretch": _time_stretch,
    "pitch_shift": _pitch_shift,
    "time_shift": _time_shift,
}
