"""Decoding: every format that is promised, and every file that is no usable audio."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile

from emodag import audio
from emodag.errors import AudioError


def tone(rate: int, seconds: float = 0.5, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The highest normalised correlation over small lags: codecs delay."""
    a, b = a[: min(len(a), len(b))], b[: min(len(a), len(b))]
    full = np.correlate(a, b, mode="full")
    return float(np.max(full) / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "PCM_U8"),
        ("wav", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "PCM_32"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("flac", "PCM_16"),
        ("ogg", "VORBIS"),
        ("mp3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("rate", [8000, 16000, 24414, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_of_libsndfile(tmp_path, suffix, subtype, rate, channels):
    if suffix == "mp3" and rate == 24414:
        rate = 24000  # MPEG audio has fixed rates
    path = tmp_path / f"a b ü.{suffix}"
    soundfile.write(path, np.tile(tone(rate)[:, None], channels), rate, subtype=subtype)
    recording = audio.read(path)
    assert recording.rate == rate
    assert recording.channels == channels
    assert recording.samples.dtype == np.float32
    samples = audio.resample(recording.samples, rate)
    assert abs(len(samples) - 8000) < (200 if suffix == "wav" else 1600)
    assert correlation(tone(16000), samples) > 0.97


@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "aac"), ("webm", "libopus"), ("mp4", "aac")])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_formats_of_ffmpeg(tmp_path, suffix, codec, layout):
    path, rate = tmp_path / f"clip.{suffix}", 48000
    samples = np.tile(tone(rate), (1 if layout == "mono" else 2, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    recording = audio.read(path)
    assert recording.rate == rate
    assert recording.channels == samples.shape[0]
    assert correlation(tone(16000), audio.resample(recording.samples, rate)) > 0.9


def write_webm(path, samples: np.ndarray, rate: int = 48000) -> None:
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def write_truncated_webm(path):
    write_webm(path, tone(48000, 2.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def adts(samples: np.ndarray, layout: str, rate: int = 44100) -> bytes:
    """AAC as a stream of self-contained frames, such as radio recorders write."""
    stream_file = io.BytesIO()
    with av.open(stream_file, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return stream_file.getvalue()


def test_a_title_in_another_encoding_is_no_obstacle(tmp_path):
    path = tmp_path / "clip.m4a"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Grüße"
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(48000)[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    content = path.read_bytes()
    assert "Grüße".encode() in content
    path.write_bytes(content.replace("Grüße".encode(), "Grüüüße".encode("latin-1")))
    assert audio.read(path).rate == 48000


def test_a_stream_that_changes_its_number_of_channels_is_read_whole(tmp_path):
    samples = tone(44100, 1.0)
    path = tmp_path / "radio.aac"
    path.write_bytes(adts(samples[np.newaxis], "mono") + adts(np.tile(samples, (2, 1)), "stereo"))
    recording = audio.read(path)
    assert len(recording.samples) / recording.rate == pytest.approx(2.0, abs=0.15)
    halves = np.split(recording.samples[: len(recording.samples) // 2 * 2], 2)
    levels = [np.sqrt(np.mean(half**2)) for half in halves]
    assert levels[0] == pytest.approx(levels[1], rel=0.1)
    assert levels[0] == pytest.approx(np.sqrt(np.mean(samples**2)), rel=0.1)


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "pcm_s16le"), ("webm", "libopus"), ("m4a", "aac")])
def test_eight_channels_are_mixed(tmp_path, suffix, codec):
    path, samples = tmp_path / f"surround.{suffix}", np.zeros((8, 48000), np.float32)
    samples[5] = 8 * tone(48000, 1.0) / 16
    write_with_ffmpeg(path, samples, codec, "7.1")
    recording = audio.read(path)
    assert recording.channels == 8
    assert correlation(tone(48000, 1.0), recording.samples) > 0.9
    if codec == "pcm_s16le":
        np.testing.assert_allclose(recording.samples, samples.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_a_picture_that_outlasts_the_sound_cuts_nothing(tmp_path, suffix):
    path = tmp_path / f"film.{suffix}"
    write_with_ffmpeg(path, tone(48000, 1.0)[np.newaxis], "aac", "mono", seconds_of_picture=6)
    recording = audio.read(path)
    assert len(recording.samples) / recording.rate == pytest.approx(1.0, abs=0.1)


def write_with_ffmpeg(path, samples, codec, layout, rate=48000, seconds_of_picture=0):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        picture = container.add_stream("mpeg4", rate=10, width=64, height=64) if seconds_of_picture else None
        # Interleaved, because PyAV takes no more than eight planes.
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), format="flt", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, stream.layout, stream.rate, frame_size=stream.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
        for number in range(10 * seconds_of_picture):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            image.pts = number
            container.mux(picture.encode(image))
        if picture:
            container.mux(picture.encode(None))


def wav(path, samples=None, **options):
    soundfile.write(path, tone(16000) if samples is None else samples, 16000, **options)


def write_truncated_flac(path):
    wav(path.with_suffix(".flac"), np.random.default_rng(0).uniform(-0.5, 0.5, 16000))
    whole = path.with_suffix(".flac").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def write_truncated_wav(path):
    wav(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def write_flac_that_promises(path, samples: int):
    """A FLAC whose header tells another number of samples, in 36 bits; 0 is how a stream says that it knows none."""
    wav(path.with_suffix(".flac"))
    content = bytearray(path.with_suffix(".flac").read_bytes())
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)


def write_mp3_that_promises_hours(path):
    wav(path.with_suffix(".mp3"))
    content = bytearray(path.with_suffix(".mp3").read_bytes())
    frames = content.index(b"Xing") + 8
    content[frames : frames + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(content)


def write_codec_that_nobody_knows(path):
    write_with_ffmpeg(path.with_suffix(".mkv"), tone(48000)[np.newaxis], "pcm_s16le", "mono")
    content = path.with_suffix(".mkv").read_bytes()
    assert b"A_PCM/INT/LIT" in content
    path.write_bytes(content.replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT"))


def write_list_of_files(path):
    wav(path.parent / "other.wav")
    path.write_text("ffconcat version 1.0\nfile other.wav\n")


SESSION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 84254\n"


@pytest.mark.parametrize(
    ("write", "reason", "told"),
    [
        (lambda path: path.write_bytes(b""), "empty", "no byte"),
        (lambda path: wav(path, np.zeros(0)), "empty", "no sample"),
        (lambda path: path.write_bytes(POINTER), "lfs_pointer", "git lfs pull"),
        (lambda path: path.write_text("I am a poem, not a waveform.\n" * 40), "not_audio", "clip.wav"),
        (lambda path: path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEjunk"), "not_audio", "clip.wav"),
        (write_truncated_wav, "truncated", "of"),
        (write_truncated_flac, "truncated", "clip.wav"),
        (write_truncated_webm, "truncated", "of"),
        (lambda path: wav(path, np.full(1600, np.nan), subtype="FLOAT"), "not_finite", "1600 of 1600"),
        (lambda path: wav(path, np.array([0.0, np.inf, 0.1]), subtype="FLOAT"), "not_finite", "1 of 3"),
        (lambda path: wav(path, 20_000 * tone(16000), subtype="FLOAT"), "too_loud", "up to 100 is accepted"),
        (lambda path: write_flac_that_promises(path, 2**36 - 1), "truncated", "8000 of 68719476735"),
        (write_mp3_that_promises_hours, "truncated", "of"),
        (write_codec_that_nobody_knows, "not_audio", "codec"),
        (write_list_of_files, "not_audio", "clip.wav"),
        (lambda path: path.write_text(SESSION), "not_audio", "clip.wav"),
    ],
)
def test_what_is_no_usable_audio_says_why(tmp_path, monkeypatch, write, reason, told):
    monkeypatch.chdir(tmp_path)  # where FFmpeg would look for files that a list names
    path = tmp_path / "clip.wav"
    write(path)
    with pytest.raises(AudioError) as error:
        audio.read(path)
    assert error.value.reason == reason
    assert told in error.value.detail
    assert " at 0x" not in error.value.detail  # an address would make two runs differ


def test_a_missing_file_is_unreadable(tmp_path):
    with pytest.raises(AudioError, match="unreadable"):
        audio.read(tmp_path / "absent.wav")


def test_a_wav_whose_size_was_never_filled_in_is_whole(tmp_path):
    path = tmp_path / "clip.wav"
    wav(path)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = (0xFFFFFFFF).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(audio.read(path).samples) == 8000


def test_a_flac_that_does_not_tell_its_length_is_whole(tmp_path):
    write_flac_that_promises(tmp_path / "clip.wav", 0)
    assert len(audio.read(tmp_path / "clip.wav").samples) == 8000


def test_what_a_decoder_raises_is_no_audio_and_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def fails(error):
        def mix(*_):
            raise error

        monkeypatch.setattr(audio, "_read_with_libsndfile", mix)
        audio.read(tmp_path / "clip.wav")

    wav(tmp_path / "clip.wav")
    with pytest.raises(AudioError, match=r"not_audio: clip\.wav: decoding it fails \(ValueError\)"):
        fails(ValueError("frames must be specified"))
    with pytest.raises(MemoryError):
        fails(MemoryError())


def test_flac_of_the_pipeline_keeps_every_sample_and_has_fixed_bytes(tmp_path):
    pcm = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    audio.write_flac(tmp_path / "a.flac", pcm)
    audio.write_flac(tmp_path / "b.flac", pcm)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    loaded = audio.load(tmp_path / "a.flac")
    np.testing.assert_array_equal(audio.to_pcm16(loaded), pcm)
    assert audio.md5(audio.to_pcm16(loaded)) == audio.md5(pcm)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2)])
def test_loading_refuses_another_form(tmp_path, rate, channels):
    soundfile.write(tmp_path / "a.flac", np.zeros((800, channels)), rate)
    with pytest.raises(AudioError, match="mono audio at 16000 Hz"):
        audio.load(tmp_path / "a.flac")


def test_conversion_to_16_bit_clips_and_rounds():
    samples = np.array([-2.0, -1.0, 0.0, 0.6 / 32768, 1.0, 2.0], dtype=np.float32)
    np.testing.assert_array_equal(audio.to_pcm16(samples), [-32768, -32768, 0, 1, 32767, 32767])


def test_peak_level():
    assert audio.peak_db(np.array([0.0, -0.5])) == pytest.approx(-6.02, abs=0.01)
    assert audio.peak_db(np.zeros(4)) == -np.inf
