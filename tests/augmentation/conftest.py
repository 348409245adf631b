"""Sounds whose properties are known, and recordings to draw from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter

from emodag.augmentation import Recordings
from emodag.params import Transform

RATE = 16000

#: One of each kind and source, at everyday values.
CHAIN = [
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


@pytest.fixture(scope="session")
def vowel():
    """``vowel(pitch, seconds, level)``: a harmonic sound with the envelope of a vowel; ``level`` is its peak."""

    def make(pitch: float = 120.0, seconds: float = 1.5, level: float = 0.2) -> np.ndarray:
        time = np.arange(int(seconds * RATE)) / RATE
        wave = sum(np.exp(-(((k * pitch - 700) / 900) ** 2)) * np.sin(2 * np.pi * k * pitch * time) for k in range(30))
        return (level * wave / np.abs(wave).max()).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def transforms():
    """``transforms(values, ...)``: transforms of these values as params have them, applied always unless ``p`` says."""

    def make(*chain: dict) -> list:
        return TypeAdapter(list[Transform]).validate_python([{"p": 1.0} | values for values in chain])

    return make


@pytest.fixture(scope="session")
def every_transform(transforms) -> list:
    return transforms(*CHAIN)


@pytest.fixture(scope="session")
def recordings_folder(tmp_path_factory) -> Path:
    """``noise/`` of two formats and rates, one of them shorter than any clip; a response of 0.1 s after 20 ms."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(0)
    (folder / "noise" / "street").mkdir(parents=True)
    (folder / "impulse_responses").mkdir()
    soundfile.write(folder / "noise" / "short.flac", 0.1 * generator.standard_normal(800), 8000)
    soundfile.write(folder / "noise" / "street" / "long.ogg", 0.1 * generator.standard_normal((5 * 44100, 2)), 44100)
    response = np.zeros(RATE // 8)
    response[320] = 0.8
    response[321:] = (
        0.1 * generator.standard_normal(len(response) - 321) * np.exp(-np.arange(len(response) - 321) / 300)
    )
    soundfile.write(folder / "impulse_responses" / "hall.wav", response, RATE, subtype="FLOAT")
    return folder


@pytest.fixture(scope="session")
def recordings(recordings_folder, every_transform) -> Recordings:
    return Recordings.of(every_transform, recordings_folder)
