"""Groups of what a model sees, which explanations take away together: families of features, and bands of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from emodag.features.encoders.base import PREFIX

if TYPE_CHECKING:
    from emodag.bundle import Bundle

#: What groups of features and of frames are, in words; by what their names start with.
_GROUPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "log_mel_": ("log_mel", "the spectrum in mel bands"),
        "mel_": ("mel", "the power in mel bands"),
        "mfcc_": ("mfcc", "timbre"),
        "mfcc_delta_": ("mfcc_delta", "how timbre moves"),
        "mfcc_delta2_": ("mfcc_delta2", "how the movement of timbre changes"),
        "chroma_": ("chroma", "pitch classes"),
        "rms": ("rms", "energy"),
        "zero_crossing_rate": ("zero_crossing_rate", "how often the waveform crosses zero"),
        "band_energy_ratio": ("band_energy_ratio", "low against high frequencies"),
        "spectral_centroid": ("centroid", "brightness"),
        "spectral_bandwidth": ("bandwidth", "how wide the spectrum is"),
        "spectral_rolloff": ("rolloff", "how high the spectrum reaches"),
        "spectral_flatness": ("flatness", "noise against tone"),
        "spectral_flux": ("flux", "how fast the spectrum changes"),
        "spectral_contrast_": ("contrast", "peaks against valleys of the spectrum"),
        "tonnetz_": ("tonnetz", "tonal centre"),
        "f0": ("f0", "pitch"),
        "intensity": ("intensity", "loudness"),
        "hnr": ("hnr", "harmonics against noise"),
        "formant_": ("formants", "vowel resonances"),
        "jitter_": ("voice_quality", "roughness of the voice"),
        "shimmer_": ("voice_quality", "roughness of the voice"),
        "voiced_": ("rhythm", "rhythm"),
        "speech_rate": ("rhythm", "rhythm"),
        "pause": ("rhythm", "rhythm"),
        PREFIX: ("embedding", "what the pretrained encoder hears"),
    }
)
_OTHER = ("other", "other features")

#: Groups of frames that are taken away band by band, and how many neighbours a band has at most.
_BANDED, _BAND = ("log_mel", "mel"), 8

Part = Literal["features", "frames", "embedding_frames"]


def group_of(name: str) -> tuple[str, str]:
    """The group that a feature or column belongs to, as ``featurize`` names it, and what it is in words."""
    starts = [start for start in _GROUPS if name.startswith(start)]
    return _GROUPS[max(starts, key=len)] if starts else _OTHER


class Player(NamedTuple):
    """Columns of one part of speech that are taken away together."""

    name: str
    words: str
    part: Part
    columns: np.ndarray  #: int64 [columns]


def players_of(bundle: Bundle) -> list[Player]:
    """Groups of the features that a model sees, then bands of its frames."""
    found = [Player(*group, "features", columns) for group, columns in _by_group(bundle.names)]
    for (group, words), columns in _by_group(bundle.columns):
        if group not in _BANDED:
            found.append(Player(f"{group} over time", f"{words}, over time", "frames", columns))
            continue
        for band in np.array_split(columns, -(-len(columns) // _BAND)):
            where = _frequencies(bundle, band)
            found.append(Player(f"{group} over time, {where}", f"{where}, over time", "frames", band))
    if bundle.embedding_columns:
        words = _GROUPS[PREFIX][1]
        columns = np.arange(len(bundle.embedding_columns))
        found.append(Player("embedding over time", f"{words}, over time", "embedding_frames", columns))
    return found


def _by_group(names: Sequence[str]) -> list[tuple[tuple[str, str], np.ndarray]]:
    groups: dict[tuple[str, str], list[int]] = {}
    for column, name in enumerate(names):
        groups.setdefault(group_of(name), []).append(column)
    return [(group, np.array(columns)) for group, columns in groups.items()]


def _frequencies(bundle: Bundle, columns: np.ndarray) -> str:
    """From where to where mel bands reach, halfway to the centres of their neighbours: ``50 to 310 Hz``."""
    import librosa

    settings = bundle.settings
    centres = librosa.mel_frequencies(settings["n_mels"] + 2, fmin=settings["fmin"], fmax=settings["fmax"])
    bands = [int(bundle.columns[column].rsplit("_", 1)[1]) for column in columns]
    between = (centres[:-1] + centres[1:]) / 2
    return f"{between[bands[0]]:.0f} to {between[bands[-1] + 1]:.0f} Hz"
