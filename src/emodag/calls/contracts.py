"""The tables that pass between the stages of conversations; see :mod:`emodag.schema`."""

from __future__ import annotations

import pandera.pandas as pa

from emodag import labels, schema

#: What lies in the folder of organize_calls; all but the first only where something is known.
RECORDINGS_FILE, LINES_FILE, EMOTIONS_FILE = "recordings.parquet", "lines.parquet", "emotions.parquet"
REFERENCE_FILE, SCOPE_FILE = "reference.rttm", "scope.uem"

#: The table of emotions in a raw folder.
TOLD_EMOTIONS = "emotions.csv"

#: The embedded demo conversations.
DEMO_CALLS = "demo_calls"

_NAME = pa.Column(str, coerce=True)  # of the recording, as RTTM calls it
_SECONDS = {
    "start": pa.Column(float, pa.Check.ge(0), coerce=True),
    "end": pa.Column(float, pa.Check.gt(0), coerce=True),
}

RECORDINGS = pa.DataFrameSchema(
    {
        "name": pa.Column(str, unique=True, coerce=True),
        "source": pa.Column(str, unique=True, coerce=True),  # in the raw folder
        "path": pa.Column(str, unique=True, coerce=True),  # relative to the table's folder: FLAC, 16 kHz
        "duration": pa.Column(float, pa.Check.gt(0), coerce=True),  # s
        "channels": pa.Column(int, pa.Check.ge(1), coerce=True),
        "source_rate": pa.Column(int, pa.Check.gt(0), coerce=True),  # Hz, before resampling
        "md5": pa.Column(str, coerce=True),  # of the decoded 16-bit samples
    },
    strict=True,
    ordered=True,
    name="recordings",
)

#: What was said: a row for each line of a transcript.
LINES = pa.DataFrameSchema(
    {"name": _NAME, "start": _SECONDS["start"], "end": pa.Column(float, coerce=True), "text": pa.Column(str)},
    strict=True,
    ordered=True,
    name="lines",
)

#: What was felt, where that is known.
EMOTIONS = pa.DataFrameSchema(
    {
        "name": _NAME,
        **_SECONDS,
        "speaker": pa.Column(str, coerce=True),
        "emotion": pa.Column(str, pa.Check.isin(labels.EMOTIONS), coerce=True),
    },
    checks=pa.Check(lambda table: table["end"] > table["start"], name="end after start"),
    strict=True,
    ordered=True,
    name="emotions",
)

TURNS = pa.DataFrameSchema(
    {
        "name": _NAME,
        **_SECONDS,
        "speaker": pa.Column(str, coerce=True),
        "channel": pa.Column("Int64", pa.Check.ge(0), nullable=True, coerce=True),  # null where all share one
    },
    checks=pa.Check(lambda table: table["end"] > table["start"], name="end after start"),
    strict=True,
    ordered=True,
    name="turns of conversations",
)

#: What is judged, turn by turn: whole turns, or windows of long ones.
PARTS = pa.DataFrameSchema(
    {
        "clip_id": pa.Column(str, unique=True, coerce=True),  # <name>/<number>
        "name": _NAME,
        "speaker": pa.Column(str, coerce=True),
        **_SECONDS,
        **{key: schema.INDEX.columns[key] for key in ("first_row", "frames", "first_embedding", "embeddings")},
    },
    strict=True,
    ordered=True,
    name="parts of conversations",
)
