"""Clips as models see them: one vector each, and frames over time of varying number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from emodag.errors import DataError


@dataclass(frozen=True)
class Sequences:
    """The frames of clips, one clip after the other in one array; standardising them is put off until they are read.

    ``sequences[i]`` is one clip, float32 [frames, columns].
    """

    values: np.ndarray  #: float32 [all frames, columns]; may be memory-mapped
    starts: np.ndarray  #: int64 [clips], each clip's first row
    counts: np.ndarray  #: int64 [clips], how many frames each has
    columns: tuple[str, ...]  #: their names
    mean: np.ndarray | None = None  #: float32 [groups, columns], subtracted from the clips of a group
    std: np.ndarray | None = None  #: float32 [groups, columns], what they are divided by
    groups: np.ndarray | None = None  #: int64 [clips], rows of ``mean`` and ``std``

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, clip: int) -> np.ndarray:
        frames = self.values[self.starts[clip] : self.starts[clip] + self.counts[clip]]
        if self.groups is None:
            return np.asarray(frames, np.float32)
        group = self.groups[clip]
        return (frames - self.mean[group]) / self.std[group]

    def of(self, rows: np.ndarray | slice) -> Sequences:
        """Some of the clips, as positions [rows] or a slice; the frames are shared."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, starts=self.starts[rows], counts=self.counts[rows], groups=groups)

    def standardised(self, mean: np.ndarray, std: np.ndarray, groups: np.ndarray) -> Sequences:
        """The clips less the mean of their group and divided by its standard deviation, computed as they are read.

        Args:
            mean: [groups, columns].
            std: [groups, columns], above 0.
            groups: int [clips], rows of both.
        """
        return replace(self, mean=mean.astype(np.float32), std=std.astype(np.float32), groups=groups)

    def positions(self, names: Sequence[str]) -> np.ndarray:
        """Where columns lie, int64 [names].

        Raises:
            DataError: there is no such column.
        """
        place = {name: number for number, name in enumerate(self.columns)}
        if missing := [name for name in names if name not in place]:
            raise DataError(f"no frame column {', '.join(missing[:5])}; there are {', '.join(self.columns[:5])}, ...")
        return np.array([place[name] for name in names], np.int64)


class Needs(NamedTuple):
    """Which parts of :class:`Speech` a model asks for."""

    features: bool
    groups: tuple[str, ...] = ()  #: of the stored frame features, as ``featurize.frames`` names them
    embedding_frames: bool = False


@dataclass(frozen=True)
class Speech:
    """Clips as models see them; what no model asked for is ``None``."""

    features: np.ndarray | None = None  #: float32 [clips, features]: functionals, embeddings or both
    names: tuple[str, ...] = ()  #: of the features
    frames: Sequences | None = None  #: frame features, 100 a second by default
    embedding_frames: Sequences | None = None  #: those of a pretrained encoder

    def __len__(self) -> int:
        return len(next(part for part in (self.features, self.frames, self.embedding_frames) if part is not None))

    def with_features(self, columns: np.ndarray) -> Speech:
        """The clips with some of their features alone, as positions [columns]."""
        return replace(self, features=self.features[:, columns], names=tuple(self.names[column] for column in columns))

    def of(self, rows: np.ndarray | slice) -> Speech:
        """Some of the clips, as positions [rows] or a slice."""
        return replace(
            self,
            features=None if self.features is None else self.features[rows],
            frames=None if self.frames is None else self.frames.of(rows),
            embedding_frames=None if self.embedding_frames is None else self.embedding_frames.of(rows),
        )


def names_of(speech: Speech) -> tuple[tuple[str, ...], ...]:
    """The names of the features and of the columns of each kind of frames; empty for what is absent."""
    frames = (part.columns if part is not None else () for part in (speech.frames, speech.embedding_frames))
    return speech.names, *frames


def gathered(speech: Speech) -> Speech:
    """The same clips with frames of their own: standardised if that was put off, and nothing of other clips."""
    return replace(
        speech,
        frames=None if speech.frames is None else _gathered(speech.frames),
        embedding_frames=None if speech.embedding_frames is None else _gathered(speech.embedding_frames),
    )


def _gathered(sequences: Sequences) -> Sequences:
    return sequences_of([sequences[clip] for clip in range(len(sequences))], sequences.columns)


def joined(parts: Sequence[Speech]) -> Speech:
    """Clips of several corpora as one, in their order; all have the same features and columns, none standardised."""
    first = parts[0]
    return Speech(
        None if first.features is None else np.concatenate([part.features for part in parts]),
        first.names,
        None if first.frames is None else _joined([part.frames for part in parts]),
        None if first.embedding_frames is None else _joined([part.embedding_frames for part in parts]),
    )


def _joined(parts: Sequence[Sequences]) -> Sequences:
    first_rows = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
    return Sequences(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.starts + first for part, first in zip(parts, first_rows, strict=True)]),
        np.concatenate([part.counts for part in parts]),
        parts[0].columns,
    )


def sequences_of(clips: Sequence[np.ndarray], columns: Sequence[str]) -> Sequences:
    """Frames of clips, [frames, columns] each, as one object."""
    counts = np.array([len(clip) for clip in clips], np.int64)
    return Sequences(np.concatenate(clips).astype(np.float32), np.cumsum(counts) - counts, counts, tuple(columns))
