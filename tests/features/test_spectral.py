"""Frame features equal librosa's, on synthetic signals and real speech, and stay finite on anything."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import librosa
import numpy as np
import pytest

from emodag import audio, params
from emodag.errors import DataError
from emodag.features import spectral

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
USUAL = params.load(ROOT / "params.yaml").featurize


GROUPS = list(USUAL.frames.model_dump())[:16]


def with_(**changes) -> params.Featurize:
    """The usual settings with every spectral group, changed."""
    groups = {group: group in GROUPS for group in params.FrameGroups.model_fields}
    return params.Featurize.model_validate(USUAL.model_dump() | {"frames": groups} | changes)


def only(*groups: str, **changes) -> params.Featurize:
    return with_(frames={group: group in groups for group in params.FrameGroups.model_fields}, **changes)


SETTINGS = {
    "usual": with_(),
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
    """Every group that librosa defines, as it computes it from the samples: float32 [frames, features]."""
    transform = {"n_fft": settings.n_fft, "win_length": settings.win_length, "hop_length": settings.hop_length}
    bands = {"n_mels": settings.n_mels, "fmin": settings.fmin, "fmax": settings.fmax}
    framing = {"frame_length": settings.win_length, "hop_length": settings.hop_length}
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, **transform, **bands)
    log_mel = librosa.power_to_db(power, top_db=settings.top_db)
    mfcc = librosa.feature.mfcc(S=log_mel, n_mfcc=settings.n_mfcc)
    # The derivative at the ends of a clip that is shorter than the width is not defined in librosa's usual mode.
    mode = "interp" if mfcc.shape[1] >= 9 else "nearest"
    chroma = librosa.feature.chroma_stft(y=samples, sr=RATE, tuning=0.0, **transform)
    found = {
        "log_mel": log_mel,
        "mel": power,
        "mfcc": mfcc,
        "mfcc_delta": librosa.feature.delta(mfcc, order=1, mode=mode),
        "mfcc_delta2": librosa.feature.delta(mfcc, order=2, mode=mode),
        "chroma": chroma,
        "rms": librosa.feature.rms(y=samples, **framing),
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(samples, **framing),
        "centroid": librosa.feature.spectral_centroid(y=samples, sr=RATE, **transform),
        "bandwidth": librosa.feature.spectral_bandwidth(y=samples, sr=RATE, **transform),
        "rolloff": librosa.feature.spectral_rolloff(y=samples, sr=RATE, roll_percent=settings.rolloff, **transform),
        "flatness": librosa.feature.spectral_flatness(y=samples, **transform),
        "contrast": librosa.feature.spectral_contrast(y=samples, sr=RATE, **transform),
        "tonnetz": librosa.feature.tonnetz(chroma=chroma, sr=RATE),
    }
    return {group: values.T for group, values in found.items()}


def by_group(samples: np.ndarray, settings: params.Featurize) -> dict[str, np.ndarray]:
    values, groups, first = spectral.frames(samples, settings), {}, 0
    for group, names in spectral.names(settings).items():
        groups[group] = values[:, first : first + len(names)]
        first += len(names)
    assert values.shape[1] == first
    return groups


#: Features that are positive, so that a relative error means something in each frame.
POSITIVE = {"chroma", "rms", "zero_crossing_rate", "centroid", "bandwidth", "mel"}
OWN = {"band_energy_ratio", "flux"}


def assert_agrees(samples: np.ndarray, settings: params.Featurize) -> None:
    ours, theirs = by_group(samples, settings), by_librosa(samples, settings)
    assert list(ours) == [group for group in GROUPS if group in theirs or group in OWN]
    for group, expected in theirs.items():
        assert ours[group].dtype == np.float32
        assert ours[group].shape == expected.shape, group
        error = np.abs(ours[group] - expected)
        if group == "rolloff":
            # A discrete bin: where the sum comes within rounding of the threshold, it is the next one.
            assert error.max() <= 1.001 * RATE / settings.n_fft
            assert (error > 1e-3).mean() <= 1e-3
            continue
        np.testing.assert_array_less(error.max(axis=0), 1e-4 * np.abs(expected).max(axis=0) + 1e-6, err_msg=group)
        if group in POSITIVE:
            # The weakest mel bands of a frame, and its least bandwidth, are sums of what a float32 transform rounds.
            floor = {"mel": 1e-7, "bandwidth": 1e-5}.get(group, 0.0) * expected.max() + 1e-9
            assert (error <= 1e-4 * expected + floor).all(), group


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
    np.testing.assert_allclose(groups["zero_crossing_rate"], 2 * 440 / RATE, atol=1.01 / USUAL.win_length)


def test_a_clip_of_many_blocks_equals_its_parts():
    """Frames far from the edges do not depend on where a block of the transform begins."""
    samples = noise(20.0)
    whole = by_group(samples, with_())
    part = by_group(samples[100 * USUAL.hop_length :], with_())
    for group in GROUPS:
        np.testing.assert_allclose(whole[group][110:-10], part[group][10:-10], rtol=1e-4, atol=1e-4, err_msg=group)


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


@pytest.mark.parametrize("n_fft", [64, 66, 80, 128, 8192])
def test_transforms_of_any_length_have_finite_features(n_fft):
    settings = with_(n_fft=n_fft, win_length=64, hop_length=32, n_mels=8, n_mfcc=4)
    groups = by_group(noise(0.3), settings)
    assert all(np.isfinite(values).all() for values in groups.values())
    assert (groups["contrast"] >= 0).all()


@pytest.mark.parametrize("n_fft", [4096, 8192])
def test_long_transforms_agree_with_librosa(n_fft):
    assert_agrees(SIGNALS["chirp"], with_(n_fft=n_fft, win_length=n_fft))


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((2, 100))], ids=["none", "two channels"])
def test_what_is_no_single_channel_is_refused(samples):
    with pytest.raises(DataError, match="one channel"):
        spectral.frames(samples.astype(np.float32), USUAL)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5000, -1])
def test_samples_that_are_not_finite_are_refused(value, place):
    samples = noise(1.0)
    samples[place] = value
    with pytest.raises(DataError, match="1 of 16000 samples are NaN or infinite"):
        spectral.frames(samples, USUAL)


def test_samples_that_were_never_scaled_to_full_scale_are_refused():
    with pytest.raises(DataError, match="full scale is 1"):
        spectral.frames(noise(1.0) * np.float32(32768), USUAL)


def test_silence_is_the_floor():
    groups = by_group(np.zeros(RATE, np.float32), with_())
    np.testing.assert_allclose(groups["log_mel"], -100, rtol=1e-6)
    np.testing.assert_allclose(groups["flatness"], 1, rtol=1e-4)
    for group in set(GROUPS) - {"log_mel", "mfcc", "flatness"}:
        np.testing.assert_allclose(groups[group], 0, atol=1e-5, err_msg=group)


@pytest.mark.parametrize("top_db", [40.0, 80.0])
def test_quiet_bands_are_floored_below_the_loudest(top_db):
    settings = with_(top_db=top_db)
    log_mel = by_group(SIGNALS["tone between pauses"], settings)["log_mel"]
    assert log_mel.min() == pytest.approx(log_mel.max() - top_db, abs=1e-4)


def test_samples_are_not_changed():
    samples = noise(0.5)
    kept = samples.copy()
    spectral.frames(samples, with_())
    np.testing.assert_array_equal(samples, kept)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_alone_is_what_it_is_among_all(group):
    samples = SIGNALS["tone between pauses"]
    alone = by_group(samples, only(group))
    assert list(alone) == [group]
    np.testing.assert_array_equal(alone[group], by_group(samples, with_())[group])


def test_groups_are_in_the_order_of_the_params_and_their_names_distinct():
    names = spectral.names(with_())
    assert list(names) == GROUPS
    columns = [name for group in names.values() for name in group]
    assert len(set(columns)) == len(columns) == 2 * 64 + 3 * 20 + 12 + 9 + 7 + 6 - 1


def test_without_any_spectral_group_there_are_frames_without_columns():
    settings = only("f0")
    assert spectral.names(settings) == {}
    assert spectral.frames(noise(1.0), settings).shape == (101, 0)


def test_what_a_thread_did_before_changes_nothing():
    """Memory to work in is kept between clips: a loud long clip must leave no trace in a short one."""
    short, settings = noise(0.7), with_()
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(spectral.frames(short, settings)))
    thread.start()
    thread.join()
    spectral.frames(noise(9.0, seed=3), with_(n_fft=1024))
    np.testing.assert_array_equal(spectral.frames(short, settings), fresh[0])


def test_band_energy_ratio_is_the_share_below_the_split():
    settings = only("band_energy_ratio", band_split=2000.0)
    low, high = tone(500), tone(4000)
    for samples, expected in ((low, 1.0), (high, 0.0), (low + high, 0.5), (low + 2 * high, 0.2)):
        found = spectral.frames(samples, settings)[10:-10]
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_flux_follows_its_definition_across_blocks():
    samples, settings = SIGNALS["chirp"], only("flux")
    samples = np.tile(samples, 4)
    magnitude = np.abs(librosa.stft(samples, n_fft=512, win_length=400, hop_length=160, pad_mode="constant"))
    share = magnitude / magnitude.sum(axis=0)
    expected = np.sqrt((np.maximum(np.diff(share, axis=1), 0) ** 2).sum(axis=0))
    found = spectral.frames(samples, settings)[:, 0]
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], expected, rtol=1e-4, atol=1e-7)


def test_flux_rises_at_an_onset_whatever_its_level():
    samples = noise(2.0) * np.float32(1e-3)
    samples[RATE:] += tone(1000)
    for gain in (1.0, 0.01):
        found = spectral.frames(samples * np.float32(gain), only("flux"))[1:, 0]
        assert 96 <= found.argmax() <= 101
        assert found.max() > 5 * np.median(found)


def test_spectral_shapes_of_a_tone_and_of_noise_differ():
    of_tone, of_noise = (by_group(samples, with_()) for samples in (tone(1000) + noise(1.0) * 1e-3, noise(1.0)))
    middle = slice(20, 80)
    np.testing.assert_allclose(of_tone["rolloff"][middle], 1000, atol=64)
    assert (of_noise["rolloff"][middle] > 6000).all()
    assert of_tone["flatness"][middle].max() < 1e-3
    assert of_noise["flatness"][middle].min() > 0.3
    # 1 kHz lies in the band from 800 to 1600 Hz.
    assert of_tone["contrast"][middle, 3].min() > of_noise["contrast"][middle, 3].max()


def test_derivatives_of_a_steady_sound_vanish_and_follow_a_rise():
    steady = by_group(np.tile(noise(0.01), 100), with_())
    assert np.abs(steady["mfcc_delta"][15:-15]).max() < 1e-2
    # 20 dB per second in all bands: coefficient 0, orthonormal, rises by the root of their number for each dB.
    louder = noise(2.0) * np.float32(0.01) * 10 ** (np.arange(2 * RATE) / RATE).astype(np.float32)
    rise = by_group(louder, with_(top_db=120.0))["mfcc_delta"][:, 0].mean() * 100
    assert rise == pytest.approx(20 * np.sqrt(USUAL.n_mels), rel=0.05)


def test_importing_the_features_loads_no_numba():
    code = "import sys, emodag.features.spectral, emodag.features.functionals; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_hours_take_little_more_memory_than_their_features():
    settings = with_(frames={g: g in GROUPS and g != "mel" for g in params.FrameGroups.model_fields})
    spectral.frames(noise(1.0), settings)
    samples = np.resize(noise(10.0), 2 * 3600 * RATE)
    tracemalloc.start()
    values = spectral.frames(samples, settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(values) == 1 + 2 * 3600 * 100
    assert peak < 1.15 * values.nbytes
    assert all(np.isfinite(values[start : start + 10_000]).all() for start in range(0, len(values), 10_000))
