"""Speaker turns as a table and as RTTM, from pyannote's ``Annotation``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from pyannote.core import Annotation

from emodag.files import atomic_file
from emodag.schema import TURNS


def to_turns(annotation: Annotation, clip_id: str) -> pd.DataFrame:
    """The turns of a clip as rows by ``schema.TURNS``, by start, then end, then speaker; times to the microsecond.

    A turn is cut where another speaker joins or leaves, so that each row is either wholly overlapped by at least one
    other speaker (``is_overlap`` True) or by nobody. Turns of one speaker that touch or overlap are one.
    """
    annotation = annotation.support()
    overlap = annotation.get_overlap()
    rows = []
    for label in annotation.labels():
        turns = annotation.label_timeline(label)
        for parts, is_overlap in ((turns.extrude(overlap), False), (turns.crop(overlap), True)):
            rows += [(clip_id, round(part.start, 6), round(part.end, 6), str(label), is_overlap) for part in parts]
    return pd.DataFrame(sorted(rows, key=lambda row: row[1:4]), columns=list(TURNS.columns))


def rttm_uri(clip_id: str) -> str:
    """A clip's id as RTTM can hold it: fields there end at a space, and tools differ in what else they read.

    Everything but ASCII letters, digits and ``/_.-~`` is percent-encoded as UTF-8; ``urllib.parse.unquote`` undoes it.
    """
    return quote(clip_id, safe="/")


def write_rttm(path: str | Path, annotations: Iterable[Annotation]) -> None:
    """Write annotations as one RTTM file (NIST 2009), atomically: ``SPEAKER uri 1 start duration ... label ...``.

    Each annotation's uri is its clip's id. Uris and labels are encoded by :func:`rttm_uri`; times are in seconds to
    the millisecond.
    """
    with atomic_file(path) as partial, partial.open("w", encoding="ascii", newline="\n") as file:
        for annotation in annotations:
            encoded = annotation.rename_labels({label: rttm_uri(str(label)) for label in annotation.labels()})
            encoded.uri = rttm_uri(annotation.uri)
            encoded.write_rttm(file)
