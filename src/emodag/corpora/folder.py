"""Any other corpus: a tree of folders that name emotions, or a table.

A tree is ``<emotion>/<file>``, ``<emotion>/<speaker>/<file>`` or ``<speaker>/<emotion>/<file>``: the folder that is an
emotion's name (one of ``labels.EMOTIONS`` or a synonym, in any case) tells which. Folders that name a part of a split
(train, test, ...) are no speakers. A table is a CSV file at the top with the columns ``path`` (relative to the folder),
``emotion`` and ``speaker``, and where known ``sex``, ``age`` (years), ``language`` (ISO 639-1), ``text_id`` and
``intensity``.

Where speakers are not told, the whole corpus is one speaker, ``unknown``: it can then never stand on both sides of a
split, which is the only safe reading of such a corpus.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from emodag.corpora.base import Clip, Corpus, NotAClip, Rejection, files_in
from emodag.errors import CorpusError, DataError
from emodag.labels import EMOTIONS, emotion_named

UNKNOWN_SPEAKER = "unknown"
UNDETERMINED = "und"  # ISO 639-2 for a language that is not known

_REQUIRED = ("path", "emotion")
_SEXES = {"": None, "f": "female", "female": "female", "m": "male", "male": "male"}
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_AGE = re.compile(r"\d{1,2}|1[01]\d")
_SPLITS = frozenset({"train", "test", "dev", "val", "valid", "validation", "eval", "evaluation"})
_COPY = re.compile(r".*~aug\d+", re.DOTALL)  # what augment calls the copies of a clip
_LONGEST_STEM = 200  # bytes; file systems take 255 for a name, and stages add to it


def corpus(name: str) -> Corpus:
    """The reader of a user's own folder, as the corpus ``name``."""
    return Corpus(
        name=name,
        title=f"{name}, a folder of your own",
        languages=(UNDETERMINED,),
        emotions=EMOTIONS,
        licence="your own",
        citation="none",
        source="your own",
        instructions="Folders named by emotion, or a CSV file with the columns path, emotion and speaker.",
        open=_open,
        find_missing=_find_missing,
    )


@dataclass(frozen=True)
class _Row:
    """A row of the table: where it stands, and its cells by column."""

    place: str
    cells: dict[str, str]


def _open(folder: Path) -> Callable[[PurePosixPath], Clip]:
    table = _table(folder)
    return _parse_tree if table is None else partial(_parse_row, table)


def _find_missing(folder: Path) -> list[Rejection]:
    table = _table(folder) or {}
    present = {_key(path) for path in files_in(folder)}
    return [
        (row.cells["path"], "missing_file", f"{row.place}: no such recording below {folder.name}")
        for key, row in table.items()
        if key not in present
    ]


def _parse_tree(path: PurePosixPath) -> Clip:
    folders = path.parts[:-1]
    named = [part for part in folders if _emotion(part)]
    emotions = {_emotion(part) for part in named}
    if not emotions:
        raise NotAClip(
            "unknown_emotion",
            f"{path}: none of its folders names an emotion; accepted: {', '.join(EMOTIONS)} and their synonyms, "
            "or a CSV file with the columns path, emotion and speaker",
        )
    if len(emotions) > 1:
        raise NotAClip("label_conflict", f"{path}: its folders name several emotions: {', '.join(named)}; use a table")
    speakers = [part for part in folders if part not in named and part.lower() not in _SPLITS]
    if len(speakers) > 1:
        raise NotAClip(
            "unknown_layout",
            f"{path}: which of the folders {', '.join(speakers)} is the speaker? Expected <emotion>/<speaker>/<file> "
            "or <speaker>/<emotion>/<file>, or a table",
        )
    return Clip(
        stem=_stem(path),
        speaker=speakers[0] if speakers else UNKNOWN_SPEAKER,
        emotion=emotions.pop(),
        native_label=named[0].lower(),
        language=UNDETERMINED,
    )


def _parse_row(table: dict[str, _Row], path: PurePosixPath) -> Clip:
    row = table.get(_key(path))
    if row is None:
        raise NotAClip("not_in_table", f"{path}: no row of the table names this file")
    cells = row.cells
    try:
        emotion = emotion_named(cells["emotion"])
    except DataError as error:
        raise NotAClip("unknown_emotion", f"{path}: {row.place}: {error}") from None
    sex, language = cells.get("sex", "").lower(), cells.get("language", "").lower() or UNDETERMINED
    if sex not in _SEXES:
        raise NotAClip("bad_value", f"{path}: {row.place}: sex {sex!r}; accepted: female, male or nothing")
    if not _LANGUAGE.fullmatch(language):
        raise NotAClip("bad_value", f"{path}: {row.place}: language {language!r}; accepted: an ISO 639 code like en")
    age = cells.get("age", "")
    if age and not _AGE.fullmatch(age):
        raise NotAClip(
            "bad_value", f"{path}: {row.place}: age {age!r}; accepted: whole years from 0 to 119, or nothing"
        )
    return Clip(
        stem=_stem(path),
        speaker=cells.get("speaker") or UNKNOWN_SPEAKER,
        emotion=emotion,
        native_label=cells["emotion"].lower(),
        language=language,
        sex=_SEXES[sex],
        age=int(age) if age else None,
        intensity=cells.get("intensity") or None,
        text_id=cells.get("text_id") or None,
    )


def _table(folder: Path) -> dict[str, _Row] | None:
    """The rows of the folder's table by path, or None where it has no table.

    Raises:
        CorpusError: a path points outside the folder, is told twice with different labels, a column is missing or
            told twice, or a CSV file cannot be read.
    """
    tables = {}
    for path in sorted(folder.glob("*.csv")):
        rows = _rows(path)
        if rows and not set(_REQUIRED).isdisjoint(rows[0]):
            tables[path.name] = rows
    if not tables:
        return None
    if len(tables) > 1:
        raise CorpusError(
            f"{folder}: several tables ({', '.join(tables)}); exactly one CSV file at the top is accepted"
        )
    ((name, (header, *rows)),) = tables.items()
    # A column that has no name is not read.
    if repeated := sorted(column for column, times in Counter(header).items() if column and times > 1):
        raise CorpusError(
            f"{folder / name}: the header names {', '.join(repeated)} more than once; accepted: once each"
        )
    absent = [column for column in _REQUIRED if column not in header]
    if absent:
        raise CorpusError(f"{folder / name}: no column {', '.join(absent)}; found: {', '.join(header)}")
    table: dict[str, _Row] = {}
    for number, cells in enumerate(rows, start=2):
        if not any(cells):
            continue
        row = _Row(f"row {number} of {name}", dict(zip(header, cells, strict=False)))
        if len(cells) != len(header):
            raise CorpusError(f"{folder / name}: row {number} has {len(cells)} cells; the header has {len(header)}")
        key = _key(_inside(row, folder / name))
        if table.setdefault(key, row).cells != row.cells:
            raise CorpusError(
                f"{folder / name}: {row.cells['path']} is told twice, differently: {table[key].place}, {row.place}"
            )
    return table


def _rows(path: Path) -> list[list[str]]:
    """The cells of a CSV file, stripped, with the column names in lower case; comma, semicolon or tab separate them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: not UTF-8; save the table as UTF-8") from None
    if not text.strip():
        return []
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        header, *rows = ([cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise CorpusError(f"{path}: not a CSV table that can be read: {error}") from None
    return [[column.lower() for column in header], *rows]


def _inside(row: _Row, table: Path) -> PurePosixPath:
    """The path that a row names, made sure to lie below the table's folder."""
    told = row.cells["path"]
    # A table written on Windows separates folders by backslashes.
    path = PurePosixPath(told if (table.parent / told).exists() else told.replace("\\", "/"))
    if not told or path.is_absolute() or PureWindowsPath(told).drive or ".." in path.parts:
        raise CorpusError(f"{table}: {row.place}: path {told!r}; accepted: paths below the folder, relative to it")
    return path


def _key(path: PurePosixPath) -> str:
    """A path as tables and file systems may differ in spelling it: composed or decomposed letters."""
    return unicodedata.normalize("NFC", str(path))


@cache
def _emotion(word: str) -> str | None:
    try:
        return emotion_named(word)
    except DataError:
        return None


def _stem(path: PurePosixPath) -> str:
    """The relative path without suffix as one file name: ``angry/001.wav`` and ``happy/001.wav`` stay two clips."""
    stem = "__".join(path.with_suffix("").parts)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in stem):
        raise NotAClip("bad_name", f"{str(path)!r}: the name holds control characters")
    if _COPY.fullmatch(stem):
        raise NotAClip("bad_name", f"{path}: names that end in ~aug and a number are kept for augmented copies")
    if len(stem.encode()) <= _LONGEST_STEM:
        return stem
    digest = hashlib.sha256(stem.encode()).hexdigest()[:16]
    return f"{stem.encode()[: _LONGEST_STEM - 18].decode(errors='ignore')}__{digest}"
