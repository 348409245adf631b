"""Recordings are found, decoded and checked before anything is made with them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import soundfile

from emodag.augmentation import Recordings
from emodag.errors import ParamsError

RATE = 16000
NOISE = {"kind": "noise", "source": "recordings", "min_snr": 10.0, "max_snr": 10.0}
REVERB = {"kind": "reverb", "source": "recordings"}


def write(path, seconds: float = 0.5, rate: int = RATE, level: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = level * np.random.default_rng(0).standard_normal(int(seconds * rate))
    soundfile.write(path, sound, rate)


def test_names_are_sorted_and_lie_below_their_folder(recordings):
    assert recordings.names("noise") == ["short.flac", "street/long.ogg"]
    assert recordings.names("reverb") == ["hall.wav"]
    assert pickle.loads(pickle.dumps(recordings)) == recordings


def test_any_format_and_rate_becomes_16_khz_mono(recordings):
    assert len(recordings.load("noise", "short.flac")) == 1600
    assert len(recordings.load("noise", "street/long.ogg")) == 5 * RATE
    assert recordings.load("noise", "street/long.ogg").dtype == np.float32


def test_what_is_kept_for_the_next_clip_cannot_be_changed(recordings):
    with pytest.raises(ValueError, match="read-only"):
        recordings.load("noise", "short.flac")[0] = 1


@pytest.mark.parametrize("name", ["../impulse_responses/hall.wav", "/etc/passwd", "absent.wav"])
def test_a_name_leads_to_no_other_file(recordings, name):
    with pytest.raises(KeyError):
        recordings.load("noise", name)


def test_a_chain_without_recordings_needs_no_folder(transforms, tmp_path):
    chain = transforms({"kind": "noise", "min_snr": 0.0, "max_snr": 0.0}, {"kind": "reverb"})
    assert Recordings.of(chain, tmp_path / "absent").paths == {}


def test_notes_and_hidden_files_are_no_recordings(transforms, tmp_path):
    write(tmp_path / "noise" / "a.wav")
    for name in ("README.md", "licence.txt", ".hidden.wav", "a.wav.dvc"):
        (tmp_path / "noise" / name).write_text("not audio")
    assert Recordings.of(transforms(NOISE), tmp_path).names("noise") == ["a.wav"]


@pytest.mark.parametrize(("transform", "folder"), [(NOISE, "noise"), (REVERB, "impulse_responses")])
def test_a_missing_or_empty_folder_is_told_with_what_belongs_there(transforms, tmp_path, transform, folder):
    with pytest.raises(ParamsError, match=rf"{tmp_path / folder}, which does not exist: put recordings there"):
        Recordings.of(transforms(transform), tmp_path)
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "README.md").touch()
    with pytest.raises(ParamsError, match=rf"{tmp_path / folder}, which holds none: put recordings there"):
        Recordings.of(transforms(transform), tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("LICENSE", b"free to use", "not_audio"),
        ("a.wav", b"", "empty"),
        ("a.wav", b"version https://git-lfs.github.com/spec/v1\n", "lfs_pointer"),
        ("a.mp3", b"\x00" * 5000, "not_audio"),
    ],
)
def test_a_file_that_is_no_audio_is_named(transforms, tmp_path, name, content, why):
    write(tmp_path / "noise" / "good.wav")
    (tmp_path / "noise" / name).write_bytes(content)
    with pytest.raises(ParamsError, match=rf"{tmp_path / 'noise' / name} cannot be used for noise.*{why}"):
        Recordings.of(transforms(NOISE), tmp_path)


def test_a_silent_file_is_named(transforms, tmp_path):
    write(tmp_path / "noise" / "quiet.wav", level=0.0)
    with pytest.raises(ParamsError, match=r"quiet\.wav cannot be used for noise, take it away: it is silent"):
        Recordings.of(transforms(NOISE), tmp_path)


def test_a_pause_in_a_recording_is_not_drawn_as_noise(transforms, tmp_path, vowel):
    from emodag.augmentation import augment

    sound = np.zeros(20 * RATE)
    sound[-RATE:] = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "late.flac", sound, RATE)
    recordings = Recordings.of(transforms(NOISE), tmp_path)
    clean = vowel(seconds=0.5)
    for seed in range(10):
        noisy, (setting,) = augment(clean, transforms(NOISE), np.random.default_rng(seed), recordings)
        noise = noisy - clean
        assert setting["offset"] >= 18.5
        assert 10 * np.log10(np.mean(clean**2.0) / np.mean(noise**2.0)) == pytest.approx(10, abs=0.02)
