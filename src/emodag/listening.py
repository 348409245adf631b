"""Recordings that people hand over: any format, any length, a folder of them, or bytes on standard input.

The pipeline refuses a damaged file, because a training clip that lacks its end is a wrong one. A call that lacks its
end is still a call: what can be decoded is read, and a note says what is missing. Decoding and resampling go block by
block, so that memory grows by 16 bits a sample and channel at 16 kHz, 115 MB an hour, and nothing else.
"""

from __future__ import annotations

import io
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import IO, NamedTuple

import numpy as np
import soundfile

from emodag import audio
from emodag.errors import AudioError

#: What files of a folder are taken for recordings, by their suffixes.
SUFFIXES = frozenset(
    (
        *(".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mka", ".mkv", ".mov", ".mp3", ".mp4"),
        *(".oga", ".ogg", ".opus", ".wav", ".weba", ".webm", ".wma"),
    )
)

#: What stands for standard input, on the command line and as the name of what came from it.
STDIN = "-"

_BLOCK, _PART = 1 << 18, 1 << 12  # samples that are worked on, and decoded, at once


@dataclass(frozen=True)
class Sound:
    """A recording at 16 kHz."""

    name: str  #: the file's, or ``-``
    pcm: np.ndarray  #: int16 [samples, channels]
    rate: int  #: Hz, before resampling
    notes: tuple[str, ...] = ()  #: what people should know of it, such as an end that is missing

    @property
    def duration(self) -> float:
        """In seconds."""
        return len(self.pcm) / audio.SAMPLE_RATE

    def samples(self, channel: int | None = None) -> np.ndarray:
        """One channel, or the mean of all: float32 [samples]."""
        return self.between(0, self.duration, channel)

    def between(self, start: float, end: float, channel: int | None = None) -> np.ndarray:
        """A stretch (s) of one channel, or of the mean of all: float32 [samples]; one sample at least."""
        first = min(int(start * audio.SAMPLE_RATE), len(self.pcm) - 1)
        stretch = self.pcm[first : max(first + 1, round(end * audio.SAMPLE_RATE))]
        if channel is None and stretch.shape[1] > 1:
            samples = stretch.mean(axis=1, dtype=np.float32)
        else:
            samples = stretch[:, channel or 0].astype(np.float32)
        samples /= 32768  # in place: hours of it would be twice as large for a moment
        return samples

    def mixed(self) -> Sound:
        """The mean of the channels as the only one."""
        if self.pcm.shape[1] == 1:
            return self
        mixed = np.empty((len(self.pcm), 1), np.int16)
        for start in range(0, len(mixed), _BLOCK):
            rows = slice(start, start + _BLOCK)
            mixed[rows, 0] = np.rint(self.pcm[rows].mean(axis=1, dtype=np.float32))
        return replace(self, pcm=mixed)


def is_recording(path: PurePath) -> bool:
    """Whether a file of a folder is taken for a recording, by its suffix."""
    return path.suffix.lower() in SUFFIXES


class Recordings(NamedTuple):
    """What some names stand for."""

    names: list[str]  #: to read
    left_out: list[str]  #: files of folders, because of their suffix
    errors: list[AudioError]  #: ``unreadable``: there is no such file; ``empty``: a folder holds no recording


def recordings(names: Sequence[str]) -> Recordings:
    """The recordings that files, folders and ``-`` stand for, in order; those of a folder sorted."""
    found = Recordings([], [], [])
    for name in names:
        path = Path(name)
        if name == STDIN or path.is_file():
            found.names.append(name)
        elif path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file() and not _hidden(each.relative_to(path)))
            of_sound = [str(each) for each in files if is_recording(each)]
            if not of_sound:
                told = f"{name}: no recording in this folder; looked for {' '.join(sorted(SUFFIXES))}"
                found.errors.append(AudioError("empty", told))
            found.names.extend(of_sound)
            found.left_out.extend(str(each) for each in files if not is_recording(each))
        else:
            found.errors.append(AudioError("unreadable", f"{name}: no such file or folder"))
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read(name: str | Path, *, mono: bool = False) -> Sound:
    """Read a recording as far as it can be decoded.

    Args:
        name: of a file, or ``-`` for standard input.
        mono: keep the mean of the channels only; the samples are then those of :func:`emodag.recognition.read`, bit by
            bit.

    Raises:
        AudioError: ``unreadable``, ``empty``, ``lfs_pointer``, ``not_audio``, ``not_finite`` (NaN or infinite samples),
            ``too_loud`` (beyond :data:`emodag.audio.LOUDEST`), or ``too_short`` (nothing is left at 16 kHz).
    """
    if str(name) == STDIN:
        return decode(io.BytesIO(sys.stdin.buffer.read()), STDIN, mono=mono)
    path = Path(name)
    try:
        with path.open("rb") as file:
            return decode(file, path.name, mono=mono)
    except OSError as error:
        raise AudioError("unreadable", f"{path}: {error.strerror}") from None


def decode(file: IO[bytes], name: str, *, mono: bool = False, longest: float = math.inf) -> Sound:
    """Read a recording from an open file; see :func:`read`.

    Args:
        file: that can seek.
        name: of the recording.
        mono: as in :func:`read`.
        longest: s; whoever sends more is refused once so much is decoded, whatever the header promised.

    Raises:
        AudioError: as in :func:`read`, or ``too_long``.
    """
    audio.check_head(file.read(audio.HEAD), name)
    file.seek(0)
    with audio.decoding(name):
        try:
            stream: _Stream = _Libsndfile(file)
        except soundfile.LibsndfileError as error:
            file.seek(0)
            stream = _FFmpeg(file, name, error.error_string)
        pcm = _resampled(stream, name, mono, longest)
        if not len(pcm):
            raise AudioError("too_short", f"{name} holds no sample at {audio.SAMPLE_RATE} Hz")
        return Sound(name, pcm, stream.rate, stream.notes())


class _Stream(ABC):
    """Audio that is decoded block by block."""

    rate: int
    decoded: int = 0  #: samples
    stopped: str = ""  #: why decoding ended early

    @abstractmethod
    def blocks(self) -> Iterator[np.ndarray]:
        """Float32 [samples, channels]; all have the same number of channels."""

    @abstractmethod
    def promised(self) -> float:
        """Seconds that the header promises; 0 where it says nothing."""

    def notes(self) -> tuple[str, ...]:
        seconds, promised = self.decoded / self.rate, self.promised()
        if self.stopped or seconds < promised - max(audio.PADDING, (1 - audio.PROMISE_KEPT) * promised):
            of = f" of {promised:.1f}" if promised > seconds else ""
            return (f"the file is damaged: {seconds:.1f}{of} s could be read",)
        return ()


class _Libsndfile(_Stream):
    def __init__(self, file: IO[bytes]):
        self._file = audio.Forward(file)
        self.rate = self._file.samplerate

    def blocks(self) -> Iterator[np.ndarray]:
        while parts := list(self._parts()):
            yield np.concatenate(parts)

    def _parts(self) -> Iterator[np.ndarray]:
        """Small ones, because where decoding fails nothing of the same call is returned; together one block."""
        for _ in range(0, _BLOCK, _PART):
            if self.stopped:
                return
            try:
                part = self._file.read(_PART, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                self.stopped = error.error_string
                return
            if len(part) == 0:
                return
            self.decoded += len(part)
            yield part

    def promised(self) -> float:
        if missing := audio.bytes_missing(self._file):
            return self.decoded / self.rate * missing.promised / missing.there
        # A count near 2**63 is how libsndfile says that a stream does not tell its length.
        return self._file.frames / self.rate if self._file.frames < 2**62 else 0.0


class _FFmpeg(_Stream):
    def __init__(self, file: IO[bytes], name: str, why: str):
        import av

        try:
            # Titles may be in any encoding, or none.
            self._container = av.open(file, metadata_errors="replace", options=audio.NO_PROTOCOL)
        except av.error.FFmpegError as error:
            raise AudioError(
                "not_audio", f"{name} is no audio that can be decoded: {why}; FFmpeg: {error.strerror}"
            ) from None
        self._stream = audio.audio_stream(self._container, name)
        self._channels = self._stream.codec_context.channels
        self.rate = self._stream.codec_context.sample_rate

    def blocks(self) -> Iterator[np.ndarray]:
        import av

        try:
            for block in audio.decoded(self._container.decode(self._stream), self.rate):
                if block.shape[1] != self._channels:  # a stream may change its form on the way
                    block = np.repeat(block.mean(axis=1, keepdims=True), self._channels, axis=1)
                self.decoded += len(block)
                yield block
        except av.error.FFmpegError as error:
            self.stopped = error.strerror

    def promised(self) -> float:
        return audio.promised_duration(self._container, self._stream)


def _resampled(stream: _Stream, name: str, mono: bool, longest: float) -> np.ndarray:
    """All of a stream at 16 kHz, int16 [samples, channels]."""
    import soxr

    # Grows in place; blocks that are joined in the end would be there twice for a moment.
    pcm, channels = bytearray(), 1
    resampler = None
    for block in stream.blocks():
        if stream.decoded > longest * stream.rate:
            raise AudioError("too_long", f"{name} is longer than {longest:g} s")
        if not np.isfinite(block).all():
            bad = int(np.count_nonzero(~np.isfinite(block)))
            raise AudioError("not_finite", f"{name}: {bad} samples near {stream.decoded / stream.rate:.1f} s are NaN")
        audio.check_loudness(block, name)
        if mono and block.shape[1] > 1:
            block = block.mean(axis=1, dtype=np.float32, keepdims=True)
        if stream.rate != audio.SAMPLE_RATE:
            if resampler is None:
                resampler = soxr.ResampleStream(
                    stream.rate, audio.SAMPLE_RATE, block.shape[1], dtype="float32", quality="HQ"
                )
            block = resampler.resample_chunk(block)
        channels = block.shape[1]
        pcm += audio.to_pcm16(block).tobytes()
    if resampler is not None:
        rest = resampler.resample_chunk(np.empty((0, channels), np.float32), last=True)
        pcm += audio.to_pcm16(rest).tobytes()
    return np.frombuffer(pcm, np.int16).reshape(-1, channels)
