"""The contracts of the tables that pass between stages, checked wherever one is written or read.

Tables are Parquet; the columns below are exactly those that a file holds, in this order.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from emodag.errors import DataError
from emodag.files import atomic_file
from emodag.labels import EMOTIONS


def _text(*, nullable: bool = False, **options) -> pa.Column:
    return pa.Column(str, nullable=nullable, coerce=True, **options)


def _one_of(*values: str, nullable: bool = False) -> pa.Column:
    return pa.Column(str, pa.Check.isin(values), nullable=nullable, coerce=True)


_CLIP = {
    "clip_id": _text(unique=True),  # <corpus>/<stem>
    "corpus": _text(),
    "speaker": _text(),  # <corpus>/<id>
    "sex": _one_of("female", "male", nullable=True),
    "age": pa.Column("Int64", pa.Check.ge(0), nullable=True, coerce=True),  # years, when recorded
    "language": _text(),  # ISO 639-1
    "emotion": _one_of(*EMOTIONS),
    "perceived": _one_of(*EMOTIONS, nullable=True),  # what most listeners heard in the sound alone, if one emotion led
    "native_label": _text(),
    "intensity": _text(nullable=True),
    "duration": pa.Column(float, pa.Check.gt(0), coerce=True),  # s
    "md5": _text(),  # of the decoded 16-bit samples
    "parent_id": _text(nullable=True),  # the clip that an augmented copy came from
}

MANIFEST = pa.DataFrameSchema(
    {
        "clip_id": _CLIP["clip_id"],
        "corpus": _CLIP["corpus"],
        "path": _text(unique=True),  # of the clip, relative to the manifest's folder
        "speaker": _CLIP["speaker"],
        "sex": _CLIP["sex"],
        "age": _CLIP["age"],
        "language": _CLIP["language"],
        "emotion": _CLIP["emotion"],
        "perceived": _CLIP["perceived"],
        "native_label": _CLIP["native_label"],
        "intensity": _CLIP["intensity"],
        "text_id": _text(nullable=True),
        "duration": _CLIP["duration"],
        "source_rate": pa.Column(int, pa.Check.gt(0), coerce=True),  # Hz, before resampling
        "md5": _CLIP["md5"],
        "parent_id": _CLIP["parent_id"],
        "augmentation": _text(nullable=True),  # JSON of the transforms and the values drawn
    },
    strict=True,
    ordered=True,
    name="manifest",
)

TURNS = pa.DataFrameSchema(
    {
        "clip_id": _text(),
        "start": pa.Column(float, pa.Check.ge(0), coerce=True),  # s
        "end": pa.Column(float, pa.Check.gt(0), coerce=True),  # s
        "speaker_label": _text(),
        "is_overlap": pa.Column(bool, coerce=True),
    },
    checks=pa.Check(lambda table: table["end"] > table["start"], name="end after start"),
    strict=True,
    ordered=True,
    name="turns",
)

INDEX = pa.DataFrameSchema(
    _CLIP
    | {
        "first_row": pa.Column("int64", pa.Check.ge(0), coerce=True),  # in frames.npy
        "frames": pa.Column("int64", pa.Check.gt(0), coerce=True),  # rows in frames.npy
        "first_embedding": pa.Column("int64", pa.Check.ge(0), coerce=True),  # in embedding_frames.npy
        "embeddings": pa.Column("int64", pa.Check.ge(0), coerce=True),  # rows there; 0 without an encoder
    },
    strict=True,
    ordered=True,
    name="index",
)

FOLDS = pa.DataFrameSchema(
    {
        "fold": pa.Column("int64", pa.Check.ge(1), coerce=True),
        "clip_id": _text(),
        "part": _one_of("train", "validation", "test"),
    },
    strict=True,
    ordered=True,
    unique=["fold", "clip_id"],
    name="folds",
)


CURVES = pa.DataFrameSchema(
    {
        "seed": pa.Column("int64", pa.Check.ge(0), coerce=True),
        "fold": pa.Column("int64", pa.Check.ge(0), coerce=True),  # 0: the model that ships
        "epoch": pa.Column("int64", pa.Check.ge(1), coerce=True),  # or boosting round
        "measure": _text(),
        "value": pa.Column(float, coerce=True),
    },
    strict=True,
    ordered=True,
    unique=["seed", "fold", "epoch", "measure"],
    name="curves",
)


def predictions(classes: tuple[str, ...]) -> pa.DataFrameSchema:
    """The schema of a table of predictions: one probability column per class, named as the class.

    Probabilities are the model's own; ``p ** (1 / temperature)``, normalised, are the calibrated ones.
    """
    probability = pa.Column(float, pa.Check.in_range(0, 1), coerce=True)
    return pa.DataFrameSchema(
        {
            "clip_id": _text(),
            "speaker": _text(),
            "fold": pa.Column("int64", pa.Check.ge(0), coerce=True),  # 0: no fold, a test corpus
            "seed": pa.Column("int64", pa.Check.ge(0), coerce=True),  # of the model that predicted
            "temperature": pa.Column(float, pa.Check.gt(0), coerce=True),  # fitted to validation clips
            "emotion": _one_of(*EMOTIONS),
            **dict.fromkeys(classes, probability),
        },
        strict=True,
        ordered=True,
        unique=["seed", "fold", "clip_id"],
        name="predictions",
    )


def scored(classes: tuple[str, ...]) -> pa.DataFrameSchema:
    """The schema of the table that all scores are computed from, out-of-fold and cross-corpus.

    As :func:`predictions`, but for corpora that may share but some of the model's classes with it: the probabilities of
    the others are null, and those that stand in a row sum to 1.
    """
    probability = pa.Column(float, pa.Check.in_range(0, 1), nullable=True, coerce=True)
    return pa.DataFrameSchema(
        {
            "corpus": _text(),
            "protocol": _text(),  # of train, or cross_corpus
            **predictions(classes).columns,
            **dict.fromkeys(classes, probability),
        },
        strict=True,
        ordered=True,
        unique=["seed", "clip_id"],
        name="scored predictions",
    )


def validate(table: pd.DataFrame, schema: pa.DataFrameSchema, source: str | Path) -> pd.DataFrame:
    """The table with its columns in order and typed.

    Raises:
        DataError: the table breaks the schema; the message names the source, the columns and the values.
    """
    try:
        return schema.validate(table.reset_index(drop=True), lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.head(5)
        faults = "; ".join(
            f"{row.column or row.schema_context}: {row.check}: {row.failure_case!r}" for row in cases.itertuples()
        )
        raise DataError(f"{source}: breaks the contract of {schema.name}: {faults}") from None


def write(table: pd.DataFrame, schema: pa.DataFrameSchema, path: str | Path) -> None:
    """Validate a table and write it as Parquet, atomically. The same table gives the same bytes."""
    table = validate(table, schema, path)
    with atomic_file(path) as partial:
        table.to_parquet(partial, index=False, compression="zstd")


def read(path: str | Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a Parquet table and validate it.

    Raises:
        DataError: the file is missing, is no Parquet or breaks the schema.
    """
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such table; has the stage that writes it run?") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None
    return validate(table, schema, path)
