"""What every encoder is: something that turns clips of any length into frames, in batches that change nothing."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emodag.params import Encoder as Settings
from emodag.params import Pooling

#: What the names of an embedding's dimensions start with.
PREFIX = "embedding_"

#: Where a model's weights and what goes with them are described, for messages.
GUIDE = "docs/encoders.md"


class Embedding(NamedTuple):
    """One clip: ``clip`` float32 [values], pooled from ``frames`` float32 [frames, dims]."""

    clip: np.ndarray
    frames: np.ndarray


class EncoderFacts(NamedTuple):
    """What the features say of the encoder that made them."""

    path: Path  #: its file or folder
    dims: int  #: of a frame
    sha256: str  #: of the file, or of a folder's list of files and their digests

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of a frame's dimensions, in order."""
        return tuple(f"{PREFIX}{number:04d}" for number in range(self.dims))

    def names(self, pooling: Pooling) -> tuple[str, ...]:
        """Names of what :func:`pool` makes of a clip, in order."""
        parts = ("mean", "std") if pooling == "mean_std" else (pooling,)
        return tuple(f"{column}_{part}" for part in parts for column in self.columns)


class Encoder(ABC):
    """An encoder of one kind.

    It reads a clip as one or several pieces: arrays whose first axis is time. What is longer than a piece may be is
    encoded in several, each on its own, and their frames are joined; so memory does not grow with a recording.
    """

    #: Whether pieces may be padded to the longest of their batch. If not, a batch has pieces of one length only.
    pads: bool
    #: Length of a piece that lasts one second.
    rate: float
    #: The length to which the encoder itself fills up every piece, if it does.
    reads: int | None = None

    def __init__(self, settings: Settings):
        self._batch_seconds = settings.batch_seconds
        self._pooling = settings.pooling

    def embed(self, clips: Sequence[np.ndarray]) -> list[Embedding]:
        """Embeddings of clips, float32 [samples] at 16 kHz each and at least one sample long, in their order.

        A clip's embedding does not depend on the others, up to the rounding of float32.
        """
        pieces = [(number, piece) for number, clip in enumerate(clips) for piece in self.pieces(clip)]
        lengths = [self.reads or len(piece) for _, piece in pieces]
        encoded: dict[int, np.ndarray] = {}
        for batch in batches(lengths, self._batch_seconds * self.rate, self.pads):
            encoded |= zip(batch, self.encode([pieces[position][1] for position in batch]), strict=True)
        frames: list[list[np.ndarray]] = [[] for _ in clips]
        for position, (number, _) in enumerate(pieces):
            frames[number].append(encoded[position])
        joined = [np.concatenate(each).astype(np.float32, copy=False) for each in frames]
        return [Embedding(pool(each, self._pooling), each) for each in joined]

    @abstractmethod
    def pieces(self, samples: np.ndarray) -> list[np.ndarray]:
        """What :meth:`encode` takes, of a clip's samples; each long enough for one frame at least."""

    @abstractmethod
    def encode(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """The frames, float32 [frames, dims], of each piece of a batch."""


def pool(frames: np.ndarray, pooling: Pooling) -> np.ndarray:
    """A clip's embedding, float32 [values], of its frames, float32 [frames, dims].

    ``mean_std`` joins mean and standard deviation over time (statistics pooling, Snyder et al. 2018, ICASSP);
    ``max_plus_mean`` adds mean and maximum, as BYOL-A does (Niizumi et al. 2021, arXiv 2103.06695).
    """
    mean = frames.mean(axis=0)
    match pooling:
        case "mean_std":
            return np.concatenate([mean, frames.std(axis=0)])
        case "max_plus_mean":
            return frames.max(axis=0) + mean
        case "mean":
            return mean


def cut(values: np.ndarray, longest: int, shortest: int, silence: float = 0.0) -> list[np.ndarray]:
    """An array along time [time, ...] in pieces of ``longest``, the last one shorter.

    A rest below ``shortest`` is left out, since it has no frame of its own; a whole clip below it is followed by
    silence.
    """
    parts = [values[start : start + longest] for start in range(0, len(values), longest)]
    if len(parts) > 1 and len(parts[-1]) < shortest:
        parts.pop()
    if len(parts[0]) < shortest:
        missing = [(0, shortest - len(parts[0]))] + [(0, 0)] * (values.ndim - 1)
        parts[0] = np.pad(parts[0], missing, constant_values=silence)
    return parts


def batches(lengths: Sequence[int], limit: float, pads: bool) -> Iterator[list[int]]:
    """Positions of items of like length, the shortest first; padded to its longest, a batch stays within ``limit``.

    An item that exceeds the limit is a batch of its own. Without ``pads``, all lengths of a batch are equal.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda position: lengths[position]):
        length = lengths[position]
        full = (len(batch) + 1) * length > limit
        if batch and (full or (not pads and lengths[batch[0]] != length)):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def without_places(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of features as they are stored: of an encoder's path and folder the last part, not this machine's."""
    if "encoder" not in settings:
        return settings
    encoder = settings["encoder"]
    return settings | {
        "encoder": encoder | {key: Path(encoder[key]).name for key in ("model", "folder") if key in encoder}
    }


def sha256(path: Path) -> str:
    """The digest of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
