"""Recordings of any format, whole or damaged, as the pipeline would read them."""

from __future__ import annotations

import io
import os
import sys
import tracemalloc
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile

from emodag import audio, recognition
from emodag.errors import AudioError
from emodag.listening import Sound, read, recordings


def sweep(rate: int, seconds: float = 1.5, channels: int = 1) -> np.ndarray:
    """Float32 [samples, channels], each channel another sound."""
    time = np.arange(round(rate * seconds)) / rate
    return np.stack(
        [0.3 * np.sin(2 * np.pi * (200 + 150 * number + 200 * time) * time) for number in range(channels)], axis=1
    ).astype(np.float32)


def encode(path, samples, rate, codec):
    """Write with FFmpeg."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo" if samples.shape[1] == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=stream.layout.name)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, stream.layout, stream.rate, frame_size=stream.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


FORMATS = {
    "wav": None, "flac": None, "ogg": None, "mp3": None, "m4a": "aac", "webm": "libopus", "opus": "libopus",
}  # fmt: skip


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_samples_that_the_pipeline_has(tmp_path, kind, rate):
    if FORMATS[kind] == "libopus" and rate == 44_100:
        rate = 24_000  # Opus has rates of its own
    path, samples = tmp_path / f"a.{kind}", sweep(rate, channels=2)
    if FORMATS[kind]:
        encode(path, samples, rate, FORMATS[kind])
    else:
        soundfile.write(path, samples, rate)
    sound = read(path, mono=True)
    np.testing.assert_array_equal(sound.samples(), recognition.read(path))
    assert sound.notes == ()
    assert sound.duration == pytest.approx(1.5, abs=0.2)
    stereo = read(path)
    assert stereo.pcm.shape[1] == 2
    # To the mean of two roundings.
    np.testing.assert_allclose(stereo.samples(), sound.samples(), atol=2 / 32768)
    # The channels are kept apart: each is its own tone.
    left, right = stereo.samples(0), stereo.samples(1)
    assert abs(np.corrcoef(left[2000:20_000], right[2000:20_000])[0, 1]) < 0.3


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg"])
def test_long_files_are_read_block_by_block_to_the_same_samples(tmp_path, kind):
    path = tmp_path / f"long.{kind}"
    soundfile.write(path, sweep(22_050, 40.0), 22_050)
    np.testing.assert_array_equal(read(path, mono=True).samples(), recognition.read(path))


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_memory_holds_the_recording_at_16_bits_and_one_block(tmp_path, rate, channels):
    path, seconds = tmp_path / "long.wav", 300
    soundfile.write(path, np.resize(audio.to_pcm16(sweep(rate, 10.0, channels)), (seconds * rate, channels)), rate)
    tracemalloc.start()
    try:
        sound = read(path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sound.pcm.nbytes == 2 * seconds * 16_000 * channels
    # What grows has an eighth in reserve.
    assert held < 1.15 * sound.pcm.nbytes + 1e6
    assert peak < held + 16e6


def test_stretches_are_parts_of_the_samples():
    sound = Sound("a", np.arange(16_000, dtype=np.int16)[:, None], 16_000)
    np.testing.assert_array_equal(sound.between(0.25, 0.5), sound.samples()[4000:8000])
    assert len(sound.between(0.9999, 5.0)) > 0
    assert len(sound.between(7.0, 9.0)) == 1


def test_mixed_is_the_mean_of_the_channels():
    pcm = np.array([[100, 200], [-32768, -32768], [3, 4]], np.int16)
    mixed = Sound("a", pcm, 16_000).mixed()
    assert mixed.pcm.tolist() == [[150], [-32768], [4]]
    assert mixed.mixed() is mixed


def test_standard_input(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", sweep(16_000), 16_000)
    content = (tmp_path / "a.wav").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    sound = read("-")
    assert (sound.name, sound.rate) == ("-", 16_000)
    np.testing.assert_array_equal(sound.samples(), read(tmp_path / "a.wav").samples())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(AudioError, match="empty: - holds no byte"):
        read("-")


@pytest.mark.parametrize(("kind", "codec"), [("wav", None), ("flac", None), ("webm", "libopus"), ("m4a", "aac")])
def test_what_is_left_of_a_damaged_file_is_read_and_said(tmp_path, kind, codec):
    path, samples = tmp_path / f"call.{kind}", sweep(16_000 if kind != "webm" else 48_000, 6.0)
    rate = 48_000 if kind == "webm" else 16_000
    if codec:
        encode(path, samples, rate, codec)
    else:
        soundfile.write(path, samples, rate)
    whole = read(path)
    assert whole.notes == ()
    if kind == "m4a":  # its table of contents comes last: without it nothing can be read
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(AudioError, match="not_audio"):
            read(path)
        return
    os.truncate(path, path.stat().st_size // 2)
    cut = read(path)
    assert 1.5 < cut.duration < 5.0
    (note,) = cut.notes
    assert "damaged" in note
    assert f"{cut.duration:.1f}" in note
    kept = round(0.9 * len(cut.pcm))
    np.testing.assert_allclose(cut.samples()[:kept], whole.samples()[:kept], atol=1e-3)
    with pytest.raises(AudioError, match="truncated"):
        audio.read(path)


def test_a_corrupt_tail_is_left_out(tmp_path):
    path = tmp_path / "call.flac"
    soundfile.write(path, sweep(16_000, 6.0) + np.random.default_rng(0).normal(size=(96_000, 1)) * 0.01, 16_000)
    content = bytearray(path.read_bytes())
    start = len(content) * 3 // 4
    content[start:] = np.random.default_rng(1).integers(0, 256, len(content) - start, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    sound = read(path)
    assert 3.0 < sound.duration <= 6.1
    assert np.isfinite(sound.samples()).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "lfs_pointer"),
        (b"no audio at all, just words" * 9, "not_audio"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, content, reason):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read(tmp_path / "a.wav")
    assert caught.value.reason == reason


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    samples = sweep(16_000)
    samples[5000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="not_finite"):
        read(tmp_path / "a.wav")


def test_samples_far_beyond_full_scale_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", 20_000 * sweep(16_000), 16_000, subtype="FLOAT")
    for reader in (read, recognition.read):
        with pytest.raises(AudioError, match=r"too_loud: a\.wav: samples reach"):
            reader(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="too_loud"):
        recognition.kept(20_000 * sweep(16_000)[:, 0], 16_000)


def test_eight_channels_are_kept_apart(tmp_path):
    path, samples = tmp_path / "surround.mkv", sweep(48_000, channels=8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=48_000, layout="7.1")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="7.1")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    sound = read(path)
    assert sound.pcm.shape == (24_000, 8)
    for channel in range(8):
        own = audio.to_pcm16(audio.resample(np.ascontiguousarray(samples[:, channel]), 48_000))
        np.testing.assert_allclose(sound.pcm[:, channel], own, atol=1)


def test_a_file_that_is_shorter_than_a_sample_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1), 96_000)
    with pytest.raises(AudioError) as caught:
        read(tmp_path / "a.wav")
    assert caught.value.reason == "too_short"


def test_folders_stand_for_the_recordings_in_them(tmp_path):
    for name in ("b.WAV", "a/c.m4a", "a/notes.txt", ".hidden/d.wav", "a/.e.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, left_out, errors = recordings([str(tmp_path), "-", str(tmp_path / "a/notes.txt")])
    assert found == [str(tmp_path / "a/c.m4a"), str(tmp_path / "b.WAV"), "-", str(tmp_path / "a/notes.txt")]
    assert left_out == [str(tmp_path / "a/notes.txt")]
    (tmp_path / "empty").mkdir()
    assert errors == []
    found, _, errors = recordings([str(tmp_path / "empty"), str(tmp_path / "b.WAV"), str(tmp_path / "missing.wav")])
    assert found == [str(tmp_path / "b.WAV")]
    assert [(error.reason, error.detail.partition(";")[0]) for error in errors] == [
        ("empty", f"{tmp_path}/empty: no recording in this folder"),
        ("unreadable", f"{tmp_path}/missing.wav: no such file or folder"),
    ]
