"""Reading any recording, and the one form that the pipeline keeps: mono, 16 kHz, 16-bit FLAC.

Samples are float32 in [-1, 1], shape ``[samples]``.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile

from emodag.errors import AudioError

if TYPE_CHECKING:
    import av

SAMPLE_RATE = 16_000

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# libsndfile mends a header that promises more samples than the file holds, and says so only in its log.
_MENDED_HEADER = re.compile(r"data\s*:\s*(\d+)\s*\(should be (\d+)\)")
# The tag of a Matroska stream, as 00:01:02.345000000.
_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d*)?)")
# Sizes that a recorder writes when it cannot seek back to fill in the true one: no sign of a cut file.
_STREAMED_SIZES = frozenset({0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFF000})

#: Samples beyond this times full scale are none: PCM that was never scaled, say. Up to it, the powers of three bins of
#: a spectrum stay within float32 when they are multiplied.
LOUDEST = 100.0

#: For FFmpeg: playlists, lists of parts and descriptions of sessions name files and addresses, and none is opened.
#: No protocol has this name; an empty list would allow all.
NO_PROTOCOL = {"protocol_whitelist": "none"}

_BLOCK = 1 << 18  # samples that are decoded at once

#: A container's promised duration may exceed what is decoded by this much before the file counts as cut.
PROMISE_KEPT, PADDING = 0.9, 0.1  # share, s


class Recording(NamedTuple):
    """Decoded audio: ``samples`` float32 ``[samples]``, mono, at ``rate`` Hz; ``channels`` before the mix-down."""

    samples: np.ndarray
    rate: int
    channels: int


def read(path: str | Path) -> Recording:
    """Decode a file with libsndfile or, where that does not know the format, with FFmpeg through PyAV; mix to mono.

    Raises:
        AudioError: ``unreadable``, ``empty`` (no byte or no sample), ``lfs_pointer``, ``truncated``, ``not_audio``,
            ``not_finite`` (NaN or infinite samples), ``too_loud`` (beyond :data:`LOUDEST`).
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AudioError("unreadable", f"{path.name}: {error.strerror}") from None
    check_head(content[:HEAD], path.name)
    with decoding(path.name):
        try:
            recording = _read_with_libsndfile(content, path.name)
        except soundfile.LibsndfileError as error:
            recording = _read_with_ffmpeg(content, path.name, error.error_string)
    samples = recording.samples
    if not len(samples):
        raise AudioError("empty", f"{path.name} holds no sample")
    if not np.isfinite(samples).all():
        bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise AudioError("not_finite", f"{path.name}: {bad} of {len(samples)} samples are NaN or infinite")
    check_loudness(samples, path.name)
    return recording


#: How many bytes of a file :func:`check_head` looks at.
HEAD = len(_LFS_POINTER)


def check_head(head: bytes, name: str) -> None:
    """Refuse what a file's first :data:`HEAD` bytes show to be no audio.

    Raises:
        AudioError: ``empty`` or ``lfs_pointer``.
    """
    if not head:
        raise AudioError("empty", f"{name} holds no byte")
    if head == _LFS_POINTER:
        raise AudioError("lfs_pointer", f"{name} is a Git LFS pointer, not audio: run `git lfs pull` in its checkout")


def check_loudness(samples: np.ndarray, name: str) -> None:
    """Refuse samples that clipping would make another sound.

    Raises:
        AudioError: ``too_loud``.
    """
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak > LOUDEST:
        raise AudioError(
            "too_loud", f"{name}: samples reach {peak:.4g}; full scale is 1, and up to {LOUDEST:g} is accepted"
        )


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """What decoders make of content that confuses them, as what it is: a file that is no audio.

    Raises:
        AudioError: ``not_audio`` in place of any error that may be the content's fault. A library that is missing,
            memory that runs out and a file that cannot be read are not.
    """
    try:
        yield
    except (AudioError, ImportError, MemoryError, OSError):
        raise
    except Exception as error:
        raise AudioError("not_audio", f"{name}: decoding it fails ({type(error).__name__})") from None


class Forward(soundfile.SoundFile):
    """A file that is only read on: soundfile seeks to where it is after each read, which spoils MP3 and Opus."""

    def seekable(self) -> bool:
        return False


class Missing(NamedTuple):
    """Bytes of audio that a file's header promises, and how many are there."""

    promised: int
    there: int


def bytes_missing(file: soundfile.SoundFile) -> Missing | None:
    """What is missing at the end of a file that was cut, as far as libsndfile noticed; nothing if it is whole."""
    mended = _MENDED_HEADER.search(file.extra_info)
    if mended is None:
        return None
    sizes = Missing(int(mended[1]), int(mended[2]))
    return sizes if sizes.promised not in _STREAMED_SIZES and sizes.promised > sizes.there else None


def _read_with_libsndfile(content: bytes, name: str) -> Recording:
    with Forward(io.BytesIO(content)) as file:
        if missing := bytes_missing(file):
            raise AudioError("truncated", f"{name}: {missing.there} of {missing.promised} bytes of audio are there")
        # A count near 2**63 is how libsndfile says that a stream does not tell its length.
        expected = file.frames if file.frames < 2**62 else None
        blocks = []
        try:
            # In blocks, because a damaged header may promise more samples than any memory holds.
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1, dtype=np.float32) if file.channels > 1 else block[:, 0])
        except soundfile.LibsndfileError as error:
            raise AudioError("truncated", f"{name}: decoding stopped: {error.error_string}") from None
        samples = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
        if expected is not None and len(samples) < expected:
            raise AudioError("truncated", f"{name}: {len(samples)} of {expected} samples are there")
        return Recording(samples, file.samplerate, file.channels)


def _read_with_ffmpeg(content: bytes, name: str, why: str) -> Recording:
    import av

    try:
        # Titles may be in any encoding.
        with av.open(io.BytesIO(content), metadata_errors="replace", options=NO_PROTOCOL) as container:
            stream = audio_stream(container, name)
            rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
            # The mean of the channels, as for other files: FFmpeg's own mix to mono would be 3 dB louder.
            blocks = [block.mean(axis=1) for block in decoded(container.decode(stream), rate)]
            promised = promised_duration(container, stream)
    except av.error.FFmpegError as error:
        raise AudioError(
            "not_audio", f"{name} is no audio that can be decoded: {why}; FFmpeg: {error.strerror}"
        ) from None
    samples = np.concatenate(blocks).astype(np.float32) if blocks else np.empty(0, np.float32)
    # Containers round what they promise, and some count padding; half a clip is no rounding.
    if len(samples) / rate < PROMISE_KEPT * promised - PADDING:
        raise AudioError("truncated", f"{name}: {len(samples) / rate:.2f} of {promised:.2f} s are there")
    return Recording(samples, rate, channels)


def audio_stream(container: av.container.InputContainer, name: str) -> av.AudioStream:
    """The first audio stream of a container.

    Raises:
        AudioError: ``not_audio``: there is none, or nothing decodes it.
    """
    if not container.streams.audio:
        raise AudioError("not_audio", f"{name} holds no audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise AudioError("not_audio", f"{name} holds audio of a codec that FFmpeg does not know")
    return stream


def promised_duration(container: av.container.InputContainer, stream: av.AudioStream) -> float:
    """Seconds of a stream that a container's header promises; 0 where it does not say.

    FFmpeg guesses the duration of a container without such a header by the bit rate. A container lasts as long as its
    longest stream, so beside a picture it says nothing of the sound.
    """
    import av

    if not any(name in container.format.name for name in ("matroska", "mov", "asf")):
        return 0.0
    whole = container.duration / av.time_base if container.duration else 0.0
    if stream.duration:
        own = float(stream.duration * stream.time_base)
    elif tag := _DURATION.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska's, from the start of the file
        hours, minutes, seconds = map(float, tag.groups())
        own = 3600 * hours + 60 * minutes + seconds - float((stream.start_time or 0) * stream.time_base)
    else:
        return whole if len(container.streams) == 1 else 0.0
    return min(own, whole) if whole else own


def decoded(frames: Iterable[av.AudioFrame], rate: int) -> Iterator[np.ndarray]:
    """Decoded frames as float32 ``[samples, channels]`` at ``rate`` Hz. A stream may change its form on the way.

    FFmpeg interleaves the channels: PyAV crashes on more than seven of them in planes.
    """
    for frame in _interleaved(frames, rate):
        yield frame.to_ndarray().reshape(-1, frame.layout.nb_channels)


def _interleaved(frames: Iterable[av.AudioFrame], rate: int) -> Iterator[av.AudioFrame]:
    import av

    resampler, form = None, None
    for frame in frames:
        its_form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if its_form != form:
            if resampler:
                yield from resampler.resample(None)
            resampler, form = av.AudioResampler(format="flt", rate=rate), its_form
        yield from resampler.resample(frame)
    if resampler:
        yield from resampler.resample(None)


def resample(samples: np.ndarray, rate: int, target: int = SAMPLE_RATE) -> np.ndarray:
    """Band-limited resampling (soxr, high quality) of float32 ``[samples]`` from ``rate`` to ``target`` Hz."""
    if rate == target:
        return samples
    import soxr

    return soxr.resample(samples, rate, target, quality="HQ").astype(np.float32, copy=False)


def to_pcm16(samples: np.ndarray) -> np.ndarray:
    """Float samples as int16, rounded and clipped: what a FLAC of the pipeline holds."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def as_kept(samples: np.ndarray) -> np.ndarray:
    """Float samples as they come back from a FLAC of the pipeline: float32, rounded to 16 bit."""
    return to_pcm16(samples).astype(np.float32) / 32768


def md5(pcm: np.ndarray) -> str:
    """The digest of int16 samples ``[samples]``: equal for equal audio, whatever file it came from."""
    return hashlib.md5(np.ascontiguousarray(pcm, dtype="<i2").tobytes(), usedforsecurity=False).hexdigest()


def write_flac(path: str | Path, pcm: np.ndarray) -> None:
    """Write int16 ``[samples]`` at 16 kHz as FLAC; the same samples give the same bytes."""
    soundfile.write(path, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")


def load(path: str | Path) -> np.ndarray:
    """Samples of a clip that the pipeline wrote: float32 ``[samples]`` at 16 kHz.

    Raises:
        AudioError: the file is missing or is not mono audio at 16 kHz.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError("unreadable", f"{path}: {error}") from None
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise AudioError("wrong_format", f"{path}: expected mono audio at {SAMPLE_RATE} Hz")
    return samples


def peak_db(samples: np.ndarray) -> float:
    """The peak level in dBFS; ``-inf`` for digital silence."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    return 20 * np.log10(peak) if peak > 0 else -np.inf
