"""Features of a corpus on disk: written as a stream, read through a memory map.

A folder holds ``frames.npy`` float32 [all frames of the corpus, features], ``functionals.npy`` float32 [clips,
functionals], ``index.parquet`` with each clip's first row and count (:data:`emodag.schema.INDEX`), and
``features.json`` with the names and the settings. The same features give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from emodag import schema
from emodag.errors import DataError
from emodag.features.extraction import ClipFeatures, FeatureNames
from emodag.files import read_json, write_json
from emodag.params import Featurize

#: Raised when a feature of the same name and settings is computed otherwise, so that older bundles are told apart.
VERSION = 1


class _Stream:
    """A float32 array [rows, columns] written row by row, so that memory does not grow with it.

    Not a memory map: its pages would count as the process's own.
    """

    def __init__(self, path: Path, columns: int):
        self._file = path.open("wb")
        self._columns = columns
        self.rows = 0
        self._header = self._write_header()

    def append(self, values: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(values, dtype="<f4").tobytes())
        self.rows += len(values)

    def close(self) -> None:
        # NumPy pads a header so that it can be written again once the number of rows is known.
        self._file.seek(0)
        if self._write_header() != self._header:
            raise DataError(f"{self._file.name}: the header of {self.rows} rows does not fit")
        self._file.close()

    def _write_header(self) -> int:
        shape = (self.rows, self._columns)
        npy.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        return self._file.tell()


class FeatureWriter:
    """Write the features of a corpus, clip by clip, into an empty folder; complete when the block ends."""

    def __init__(self, folder: Path, names: FeatureNames, settings: Featurize):
        self._folder = folder
        self._names = names
        self._settings = settings
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> FeatureWriter:
        self._frames = _Stream(self._folder / "frames.npy", len(self._names.columns))
        self._functionals = _Stream(self._folder / "functionals.npy", len(self._names.functionals))
        return self

    def add(self, clip: dict[str, Any], features: ClipFeatures) -> None:
        """Append a clip: its row of the manifest and its features.

        Raises:
            DataError: a value is not finite, or the columns are not those that the names say.
        """
        for values, expected in (
            (features.frames, self._names.columns),
            (features.functionals, self._names.functionals),
        ):
            if values.shape[-1] != len(expected) or not np.isfinite(values).all():
                raise DataError(f"{clip['clip_id']}: features of shape {values.shape}, not all finite or not as named")
        place = {"first_row": self._frames.rows, "frames": len(features.frames)}
        self._frames.append(features.frames)
        self._functionals.append(features.functionals[np.newaxis])
        self._rows.append(clip | place)

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._frames.rows

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._frames.close()
        self._functionals.close()
        if kind is not None:
            return
        index = pd.DataFrame(self._rows, columns=list(schema.INDEX.columns))
        schema.write(index, schema.INDEX, self._folder / "index.parquet")
        write_json(
            self._folder / "features.json",
            {
                "frames": self._names.frames,
                "names": self._names.functionals,
                "settings": self._settings.model_dump() | {"version": VERSION},
            },
        )


class StoredFeatures(NamedTuple):
    """Features of a corpus: memory-mapped ``frames`` and ``functionals``, the ``index``, names and settings."""

    frames: np.ndarray
    functionals: np.ndarray
    index: pd.DataFrame
    names: FeatureNames
    settings: dict[str, Any]

    def frames_of(self, position: int) -> np.ndarray:
        """Frame features of the clip at a row of the index: float32 [frames, features]."""
        first, count = self.index.loc[position, ["first_row", "frames"]]
        return self.frames[first : first + count]


def open_features(folder: Path) -> StoredFeatures:
    """Open what :class:`FeatureWriter` wrote.

    Raises:
        DataError: a file is missing, unreadable, or does not fit the others.
    """
    try:
        described = read_json(folder / "features.json")
        frames, functionals = (
            np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in ("frames.npy", "functionals.npy")
        )
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{folder}: no readable features ({error}); run `dvc repro` to compute them") from None
    index = schema.read(folder / "index.parquet", schema.INDEX)
    names = FeatureNames({group: tuple(each) for group, each in described["frames"].items()}, tuple(described["names"]))
    expected = {
        "frames.npy": (frames.shape, (index["frames"].sum(), len(names.columns))),
        "functionals.npy": (functionals.shape, (len(index), len(names.functionals))),
    }
    for file, (found, wanted) in expected.items():
        if found != wanted:
            raise DataError(f"{folder / file}: shape {found}, where the index and the names say {wanted}")
    return StoredFeatures(frames, functionals, index, names, described["settings"])
