"""Features of a corpus on disk: written as a stream, read through a memory map.

A folder holds ``frames.npy`` float32 [all frames of the corpus, features], ``functionals.npy`` float32 [clips,
functionals], ``index.parquet`` with each clip's first row and count (:data:`emodag.schema.INDEX`), and
``features.json`` with the names and the settings. With an encoder, ``embedding_frames.npy`` float32 [all its frames,
dims] and ``embeddings.npy`` float32 [clips, values] lie beside them. The same features give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.lib import format as npy

from emodag import schema
from emodag.errors import DataError
from emodag.features.encoders import Embedding, EncoderFacts
from emodag.features.encoders.base import without_places
from emodag.features.extraction import ClipFeatures, FeatureNames
from emodag.files import read_json, write_json
from emodag.params import Featurize

#: Raised when a feature of the same name and settings is computed otherwise, so that older bundles are told apart.
VERSION = 2

FRAMES, FUNCTIONALS = "frames.npy", "functionals.npy"
EMBEDDING_FRAMES, EMBEDDINGS = "embedding_frames.npy", "embeddings.npy"


def described(settings: Featurize, encoder: EncoderFacts | None) -> dict[str, Any]:
    """All that features depend on, wherever they were computed: the settings, this version and the encoder."""
    facts = {"version": VERSION, "encoder_sha256": encoder.sha256 if encoder else None}
    return without_places(settings.model_dump()) | facts


class _Stream:
    """A float32 array [rows, columns] written row by row, so that memory does not grow with it.

    Not a memory map: its pages would count as the process's own.
    """

    def __init__(self, path: Path, columns: int):
        self._file = path.open("wb")
        self.columns = columns
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
        shape = (self.rows, self.columns)
        npy.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        return self._file.tell()


class FeatureWriter:
    """Write the features of clips, one after the other, into an empty folder; complete when the block ends.

    Args:
        folder: to write to.
        clips: the columns of the index that say what the clips are, in the order in which clips are added.
        names: of the features.
        settings: under which they are computed.
        encoder: that gives the embeddings, if there is one.
        contract: of the index.
    """

    def __init__(
        self,
        folder: Path,
        clips: pd.DataFrame,
        names: FeatureNames,
        settings: Featurize,
        encoder: EncoderFacts | None = None,
        contract: pa.DataFrameSchema = schema.INDEX,
    ):
        self._folder = folder
        self._clips = clips
        self._names = names
        self._settings = settings
        self._encoder = encoder
        self._contract = contract
        self._embedding_names = encoder.names(settings.encoder.pooling) if encoder else ()
        self._counts: list[tuple[int, int]] = []

    def __enter__(self) -> FeatureWriter:
        self._frames = _Stream(self._folder / FRAMES, len(self._names.columns))
        self._streams = [self._frames, _Stream(self._folder / FUNCTIONALS, len(self._names.functionals))]
        if self._encoder:
            self._streams += [
                _Stream(self._folder / EMBEDDING_FRAMES, len(self._encoder.columns)),
                _Stream(self._folder / EMBEDDINGS, len(self._embedding_names)),
            ]
        return self

    def add(self, features: ClipFeatures, embedding: Embedding | None = None) -> None:
        """Append the features of the next clip and, with an encoder, its embedding.

        Raises:
            DataError: a value is not finite, or the columns are not those that the names say.
        """
        added = [features.frames, features.functionals[np.newaxis]]
        if embedding:
            added += [embedding.frames, embedding.clip[np.newaxis]]
        for stream, values in zip(self._streams, added, strict=True):
            if values.shape[-1] != stream.columns or not np.isfinite(values).all():
                clip_id = self._clips["clip_id"].iloc[len(self._counts)]
                raise DataError(f"{clip_id}: features of shape {values.shape}, not all finite or not as named")
        for stream, values in zip(self._streams, added, strict=True):
            stream.append(values)
        self._counts.append((len(features.frames), len(embedding.frames) if embedding else 0))

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._frames.rows

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for stream in self._streams:
            stream.close()
        if kind is not None:
            return
        if len(self._counts) != len(self._clips):
            raise DataError(f"{self._folder}: features of {len(self._counts)} clips, where {len(self._clips)} are due")
        schema.write(self._index(), self._contract, self._folder / "index.parquet")
        write_json(
            self._folder / "features.json",
            {
                "frames": self._names.frames,
                "names": self._names.functionals,
                "embedding_frames": self._encoder.columns if self._encoder else (),
                "embedding": self._embedding_names,
                "settings": described(self._settings, self._encoder),
            },
        )

    def _index(self) -> pd.DataFrame:
        """The clips with their places in the arrays."""
        frames, embeddings = np.array(self._counts, dtype=np.int64).reshape(-1, 2).T
        return self._clips.assign(
            first_row=np.cumsum(frames) - frames,
            frames=frames,
            first_embedding=np.cumsum(embeddings) - embeddings,
            embeddings=embeddings,
        )


class StoredFeatures(NamedTuple):
    """Features of a corpus: memory-mapped arrays, the ``index``, names and settings.

    Without an encoder, ``embeddings`` and ``embedding_frames`` are ``None`` and their names empty.
    """

    frames: np.ndarray
    functionals: np.ndarray
    index: pd.DataFrame
    names: FeatureNames
    settings: dict[str, Any]
    embedding_frames: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    embedding_columns: tuple[str, ...] = ()
    embedding_names: tuple[str, ...] = ()

    def frames_of(self, position: int) -> np.ndarray:
        """Frame features of the clip at a row of the index: float32 [frames, features]."""
        first, count = self.index.loc[position, ["first_row", "frames"]]
        return self.frames[first : first + count]

    def embedding_frames_of(self, position: int) -> np.ndarray:
        """The encoder's frames of the clip at a row of the index: float32 [frames, dims]."""
        first, count = self.index.loc[position, ["first_embedding", "embeddings"]]
        return self.embedding_frames[first : first + count]


def open_features(folder: Path, contract: pa.DataFrameSchema = schema.INDEX) -> StoredFeatures:
    """Open what :class:`FeatureWriter` wrote with an index by a contract.

    Raises:
        DataError: a file is missing, unreadable, or does not fit the others.
    """
    try:
        described = read_json(folder / "features.json")
        embedding_columns, embedding_names = (tuple(described[part]) for part in ("embedding_frames", "embedding"))
        files = [FRAMES, FUNCTIONALS] + ([EMBEDDING_FRAMES, EMBEDDINGS] if embedding_names else [])
        arrays = {name: np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in files}
    except KeyError as error:
        raise DataError(f"{folder}: features of an older version (no {error}); run `dvc repro` again") from None
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{folder}: no readable features ({error}); run `dvc repro` to compute them") from None
    index = schema.read(folder / "index.parquet", contract)
    names = FeatureNames({group: tuple(each) for group, each in described["frames"].items()}, tuple(described["names"]))
    expected = {
        FRAMES: (index["frames"].sum(), len(names.columns)),
        FUNCTIONALS: (len(index), len(names.functionals)),
        EMBEDDING_FRAMES: (index["embeddings"].sum(), len(embedding_columns)),
        EMBEDDINGS: (len(index), len(embedding_names)),
    }
    for file, array in arrays.items():
        if array.shape != expected[file]:
            raise DataError(f"{folder / file}: shape {array.shape}, where the index and names say {expected[file]}")
    return StoredFeatures(
        frames=arrays[FRAMES],
        functionals=arrays[FUNCTIONALS],
        index=index,
        names=names,
        settings=described["settings"],
        embedding_frames=arrays.get(EMBEDDING_FRAMES),
        embeddings=arrays.get(EMBEDDINGS),
        embedding_columns=embedding_columns,
        embedding_names=embedding_names,
    )
