"""Frame features equal librosa's, on synthetic signals and real speech, and stay finite on anything."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest

from emodag import audio, params
from emodag.features import spectral

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
USUAL = params.load(ROOT / "params.yaml").featurize


def with_(**changes) -> params.Featurize:
    return params.Featurize.model_validate(USUAL.model_dump() | changes)


SETTINGS = {
    "usual": USUAL,
    "padded window": with_(n_fft=1024, win_length=512),
    "librosa's defaults": with_(n_fft=2048, win_length=2048, hop_length=512, n_mels=128, fmin=0.0),
    "awkward lengths": with_(n_fft=602, win_length=334, hop_length=97, n_mels=26, n_mfcc=13, fmin=100.0, fmax=7600.0),
}


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def tone(frequency: float, seconds: float = 1.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def chirp() -> np.ndarray:
    time = np.arange(RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * (100 * time + 3500 * time**2))).astype(np.float32)


# In 16 bits and, for the tone, with noise at -74 dBFS, as a recording has: librosa transforms in double precision, and
# the float32 transform's own rounding (-140 dB) is seen between the partials of a tone that has no noise at all.
SIGNALS = {
    name: audio.to_pcm16(samples).astype(np.float32) / 32768
    for name, samples in {
        "noise": noise(1.0),
        "chirp": chirp(),
        "tone between pauses": np.pad(tone(440), 4000) + noise(1.5, seed=1) * np.float32(2e-3),
        "quiet noise": noise(0.5) * np.float32(1e-3),
        "length of a hop": noise(160 / RATE),
        "one more": noise(16001 / RATE),
    }.items()
}


def by_librosa(samples: np.ndarray, settings: params.Featurize) -> dict[str, np.ndarray]:
    """Every group as librosa computes it from the samples: float32 [frames, features]."""
    transform = {"n_fft": settings.n_fft, "win_length": settings.win_length, "hop_length": settings.hop_length}
    mel = {"n_mels": settings.n_mels, "fmin": settings.fmin, "fmax": settings.fmax}
    framing = {"frame_length": settings.win_length, "hop_length": settings.hop_length}
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, **transform, **mel)
    log_mel = librosa.power_to_db(power, top_db=settings.top_db)
    found = {
        "log_mel": log_mel,
        "mfcc": librosa.feature.mfcc(S=log_mel, n_mfcc=settings.n_mfcc),
        "chroma": librosa.feature.chroma_stft(y=samples, sr=RATE, tuning=0.0, **transform),
        "centroid": librosa.feature.spectral_centroid(y=samples, sr=RATE, **transform),
        "bandwidth": librosa.feature.spectral_bandwidth(y=samples, sr=RATE, **transform),
        "rms": librosa.feature.rms(y=samples, **framing),
        "zero_crossings": librosa.feature.zero_crossing_rate(samples, **framing),
    }
    return {group: values.T for group, values in found.items()}


def by_group(samples: np.ndarray, settings: params.Featurize) -> dict[str, np.ndarray]:
    values, groups, first = spectral.frames(samples, settings), {}, 0
    for group, names in spectral.names(settings).items():
        groups[group] = values[:, first : first + len(names)]
        first += len(names)
    assert values.shape[1] == first
    return groups


def assert_agrees(samples: np.ndarray, settings: params.Featurize) -> None:
    ours, theirs = by_group(samples, settings), by_librosa(samples, settings)
    assert list(ours) == list(theirs)
    for group, expected in theirs.items():
        assert ours[group].dtype == np.float32
        assert ours[group].shape == expected.shape, group
        # Decibels and cepstra pass through zero, where a relative error means nothing: they are held against their
        # usual size there.
        usual_size = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
        allowed = 1e-4 * np.maximum(np.abs(expected), usual_size if group in ("log_mel", "mfcc") else 0.0)
        error = np.abs(ours[group] - expected)
        assert (error <= allowed + 1e-9).all(), f"{group}: {np.max(error - allowed)} too far"


@pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("samples", SIGNALS.values(), ids=SIGNALS)
def test_every_feature_agrees_with_librosa(samples, settings):
    assert_agrees(samples, settings)


@pytest.mark.corpora
@pytest.mark.parametrize("settings", list(SETTINGS.values())[:3], ids=list(SETTINGS)[:3])
@pytest.mark.parametrize("corpus", ["ravdess", "cremad", "emodb"])
def test_every_feature_agrees_with_librosa_on_speech(shared, corpus, settings):
    files = sorted(path for path in (shared / "corpora" / corpus).rglob("*") if path.suffix in (".flac", ".ogg"))
    assert len(files) > 500
    for path in files[7 :: len(files) // 4]:
        assert_agrees(audio.read(path).samples, settings)


def test_band_edges_and_pitch_classes_are_where_a_tone_is():
    """Independent of librosa: 440 Hz is an A, its energy in the band around it, its centroid and level its own."""
    groups = {name: values[40:60] for name, values in by_group(tone(440, level=0.5), with_(n_fft=2048)).items()}
    assert (groups["chroma"].argmax(axis=1) == 9).all()
    edges = librosa.mel_frequencies(USUAL.n_mels + 2, fmin=USUAL.fmin, fmax=USUAL.fmax)
    band = groups["log_mel"].argmax(axis=1)
    assert (edges[band] < 440).all()
    assert (edges[band + 2] > 440).all()
    np.testing.assert_allclose(groups["centroid"], 440, rtol=0.02)
    np.testing.assert_allclose(groups["rms"], 0.5 / np.sqrt(2), rtol=0.01)
    np.testing.assert_allclose(groups["zero_crossings"], 2 * 440 / RATE, atol=1.01 / USUAL.win_length)


def test_a_clip_of_many_blocks_equals_its_parts():
    """Frames far from the edges do not depend on where a block of the transform begins."""
    samples = noise(20.0)
    whole = by_group(samples, USUAL)
    part = by_group(samples[100 * USUAL.hop_length :], USUAL)
    for group in ("chroma", "centroid", "bandwidth", "rms", "zero_crossings"):
        np.testing.assert_allclose(whole[group][110:], part[group][10:], rtol=1e-5)


DEGENERATE = {
    "one sample": np.array([0.25], np.float32),
    "one silent sample": np.zeros(1, np.float32),
    "shorter than a frame": noise(0.005),
    "silence": np.zeros(RATE, np.float32),
    "DC": np.full(RATE, 0.7, np.float32),
    "full-scale square": np.sign(tone(100, level=1.0) + 1e-3).astype(np.float32),
    "denormal": np.full(RATE, 1e-42, np.float32),
    "one click": np.eye(1, RATE, RATE // 2, dtype=np.float32)[0],
    "least 16-bit step": np.tile(np.array([1, -1], np.float32) / 32768, RATE // 2),
}


@pytest.mark.parametrize("samples", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_degenerate_clips_have_finite_features(samples, settings):
    values = spectral.frames(samples, settings)
    assert values.shape == (1 + len(samples) // settings.hop_length, sum(map(len, spectral.names(settings).values())))
    assert np.isfinite(values).all()


def test_silence_is_the_floor():
    groups = by_group(np.zeros(RATE, np.float32), USUAL)
    assert (groups["log_mel"] == -100).all()
    for group in ("chroma", "centroid", "bandwidth", "rms", "zero_crossings"):
        assert not groups[group].any()


@pytest.mark.parametrize("top_db", [40.0, 80.0])
def test_quiet_bands_are_floored_below_the_loudest(top_db):
    settings = USUAL.model_copy(update={"top_db": top_db})
    log_mel = by_group(SIGNALS["tone between pauses"], settings)["log_mel"]
    assert log_mel.min() == pytest.approx(log_mel.max() - top_db, abs=1e-4)


def test_samples_are_not_changed():
    samples = noise(0.5)
    kept = samples.copy()
    spectral.frames(samples, USUAL)
    np.testing.assert_array_equal(samples, kept)
