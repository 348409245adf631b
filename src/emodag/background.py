"""Training clips that are kept beside a bundle: explanations put them in place of what they take away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from zipfile import BadZipFile

import numpy as np

from emodag.errors import DataError
from emodag.files import atomic_file
from emodag.speech import Speech

if TYPE_CHECKING:
    from emodag.bundle import Bundle

BACKGROUND = "background.npz"

#: Training clips of each emotion that are kept.
CLIPS_OF_EACH = 4


@dataclass(frozen=True)
class Background:
    """Training clips as the model sees them, after adaptation: what stands in for what is taken away."""

    features: np.ndarray  #: float32 [clips, features], as many clips of each emotion, emotion by emotion
    frames: np.ndarray  #: float32 [columns], their mean frame, each clip weighing the same
    embedding_frames: np.ndarray  #: float32 [dims], the same of the encoder's

    @classmethod
    def of(cls, adapted: Speech, labels: np.ndarray) -> Self:
        """Some of the clips of each class, evenly spaced.

        Args:
            adapted: original training clips, after adaptation.
            labels: int [clips].
        """
        rows = np.concatenate([spaced(np.flatnonzero(labels == label), CLIPS_OF_EACH) for label in np.unique(labels)])
        some = adapted.of(rows)
        features = np.empty((len(rows), 0)) if some.features is None else some.features
        means = (
            np.empty(0) if part is None else np.mean([part[clip].mean(axis=0) for clip in range(len(rows))], axis=0)
            for part in (some.frames, some.embedding_frames)
        )
        return cls(*(values.astype(np.float32) for values in (features, *means)))

    def save(self, folder: Path) -> None:
        """Write ``background.npz`` beside the bundle; the same clips give the same bytes."""
        with atomic_file(folder / BACKGROUND) as path, path.open("wb") as file:
            np.savez(file, features=self.features, frames=self.frames, embedding_frames=self.embedding_frames)

    @classmethod
    def load(cls, folder: str | Path, bundle: Bundle) -> Self:
        """The background of a bundle.

        Raises:
            DataError: the file is missing, is broken, or is of another model.
        """
        path = Path(folder) / BACKGROUND
        try:
            with np.load(path, allow_pickle=False) as stored:
                background = cls(*(stored[name] for name in cls.__dataclass_fields__))
        except FileNotFoundError:
            raise DataError(
                f"{path}: no such file; the train stage writes it beside the bundle, run it again"
            ) from None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DataError(f"{path}: no readable background: {error}; run train again") from None
        expected = (len(bundle.names), len(bundle.columns), len(bundle.embedding_columns))
        arrays = background.features, background.frames, background.embedding_frames
        fitting = (array.ndim == ndim for array, ndim in zip(arrays, (2, 1, 1), strict=True))
        if not (all(fitting) and tuple(array.shape[-1] for array in arrays) == expected):
            raise DataError(f"{path}: arrays {[array.shape for array in arrays]} do not fit the model; run train again")
        if not len(background.features) or not all(np.isfinite(array).all() for array in arrays):
            raise DataError(f"{path}: no clip, or values that are not finite; run train again")
        return background


def spaced(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))]
