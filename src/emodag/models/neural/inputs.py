"""What a network sees of a clip: its features or some columns of its frames, standardised as the training clips say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from emodag.models.base import EMBEDDING_FRAMES, FEATURES, FRAMES
from emodag.models.graph import Graph
from emodag.models.neural.batches import Batch, padded
from emodag.speech import Sequences, Speech

#: A column whose spread is below this share of its mean carries rounding errors of float32 rather than speech.
_RESOLUTION = 1e-4

#: Frames that are read at a time to take their mean and spread.
_CHUNK = 65536


class Inputs(Protocol):
    """One kind of input; :meth:`fit` comes first."""

    #: How many columns each group of them has, in their order.
    groups: tuple[int, ...]

    def fit(self, speech: Speech) -> None:
        """Learn the mean and spread of training clips."""

    def lengths(self, speech: Speech) -> np.ndarray:
        """How long each clip is: int [clips]."""

    def batch(self, speech: Speech, rows: np.ndarray) -> Batch:
        """Some clips, standardised."""

    def keras(self) -> list[Any]:
        """The inputs of the Keras model: values and, of frames, their mask."""

    def write(self, graph: Graph) -> str:
        """The input of the ONNX model, up to standardised values."""


class Vectors:
    """``speech.features``."""

    def fit(self, speech: Speech) -> None:
        self.mean, self.std = _moments([speech.features])
        self.groups = (len(self.mean),)

    def lengths(self, speech: Speech) -> np.ndarray:
        return np.ones(len(speech), np.int64)

    def batch(self, speech: Speech, rows: np.ndarray) -> Batch:
        return Batch(((speech.features[rows] - self.mean) / self.std).astype(np.float32), None)

    def keras(self) -> list[Any]:
        import keras

        return [keras.Input((len(self.mean),))]

    def write(self, graph: Graph) -> str:
        values = graph.input(FEATURES, ("clips", len(self.mean)))
        return graph("Div", graph("Sub", values, self.mean), self.std)


class Frames:
    """Columns of ``speech.frames``, group by group, or all of ``speech.embedding_frames``.

    Args:
        groups: the names of the columns of each group; none for the encoder's frames.
        minimum: clips of fewer frames are lengthened to so many by average ones, which are zeros once standardised.
    """

    def __init__(self, groups: Sequence[Sequence[str]], minimum: int):
        self.groups = tuple(len(names) for names in groups)
        self.minimum = minimum
        self._names = [name for names in groups for name in names]

    def _of(self, speech: Speech) -> Sequences:
        return speech.frames if self._names else speech.embedding_frames

    def fit(self, speech: Speech) -> None:
        frames = self._of(speech)
        self._stored = len(frames.columns)
        self._positions = frames.positions(self._names) if self._names else np.arange(self._stored)
        self.groups = self.groups or (self._stored,)
        self.mean, self.std = _moments(self._clip(frames, number) for number in range(len(frames)))

    def _clip(self, frames: Sequences, number: int) -> np.ndarray:
        return frames[number][:, self._positions]

    def lengths(self, speech: Speech) -> np.ndarray:
        return self._of(speech).counts

    def batch(self, speech: Speech, rows: np.ndarray) -> Batch:
        frames = self._of(speech)
        return padded([(self._clip(frames, row) - self.mean) / self.std for row in rows], self.minimum)

    def keras(self) -> list[Any]:
        import keras

        return [keras.Input((None, len(self.mean))), keras.Input((None,), dtype="bool")]

    def write(self, graph: Graph) -> str:
        name = FRAMES if self._names else EMBEDDING_FRAMES
        values = graph.input(name, ("clips", "frames" if self._names else "embedding_frames", self._stored))
        if not np.array_equal(self._positions, np.arange(self._stored)):
            values = graph("Gather", values, self._positions, axis=2)
        values = graph("Div", graph("Sub", values, self.mean), self.std)
        count = graph("Shape", values, start=1, end=2)
        missing = graph("Max", graph("Sub", [self.minimum], count), [0])
        return graph("Pad", values, graph("Concat", [0, 0, 0, 0], missing, [0], axis=0))


def _moments(parts: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the rows of all parts [rows, columns]: float32 [columns], the latter above 0."""
    count, total, squares = 0, 0.0, 0.0
    shift = None
    for part in parts:
        if shift is None:
            # Squares of numbers far from 0 would lose the spread to rounding.
            shift = np.asarray(part, np.float64).mean(axis=0)
        for first in range(0, len(part), _CHUNK):
            values = np.asarray(part[first : first + _CHUNK], np.float64) - shift
            count += len(values)
            total = total + values.sum(axis=0)
            squares = squares + np.square(values).sum(axis=0)
    mean = shift + total / count
    std = np.sqrt(np.maximum(squares / count - np.square(total / count), 0))
    std = np.maximum(std, _RESOLUTION * np.abs(mean))
    return mean.astype(np.float32), np.where(std > 0, std, 1).astype(np.float32)
