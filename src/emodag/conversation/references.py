"""Which reference turns belong to which recording, and how far what was found is from them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from emodag.errors import DataError

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline

    from emodag.diarization.evaluation import Errors

Known = TypeVar("Known")

#: Seconds on each side of a reference boundary that are not scored: none, and what NIST leaves out.
COLLARS = (0.0, 0.25)


def names_of(recordings: Sequence[str]) -> list[str]:
    """What RTTM calls recordings: their file names without the suffix.

    Raises:
        DataError: two have the same name.
    """
    names = [Path(each).stem for each in recordings]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{doubled[0]}: {names.count(doubled[0])} recordings have this name, and RTTM tells by it")
    return names


def references(paths: Sequence[Path]) -> dict[str, Annotation]:
    """The turns in RTTM files, and in those of folders, by the recording's name.

    Raises:
        DataError: a file cannot be read, a folder holds none, or two tell of the same recording.
    """
    from emodag.diarization.evaluation import read_rttm

    found: dict[str, Annotation] = {}
    for path in paths:
        files = sorted(path.rglob("*.rttm")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path}: no .rttm file in this folder")
        for file in files:
            for name, annotation in read_rttm(file).items():
                if name in found:
                    raise DataError(f"{file}: {name} is in another file too")
                found[name] = annotation
    return found


def scopes(paths: Sequence[Path]) -> dict[str, Timeline]:
    """What of each recording is scored, from UEM files: ``name channel start end``, in seconds.

    Names are encoded as in RTTM, by :func:`~emodag.diarization.turns.rttm_uri`.

    Raises:
        DataError: a file cannot be read, or a line of it is no such stretch.
    """
    from urllib.parse import unquote

    from pyannote.core import Segment, Timeline

    found: dict[str, Timeline] = {}
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as UEM: {error}") from None
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith(";"):
                continue
            try:
                name, _, start, end = line.split()
                stretch = Segment(float(start), float(end))
            except ValueError:
                raise DataError(f"{path}, line {number}: {line!r}: expected NAME CHANNEL START END") from None
            found.setdefault(unquote(name), Timeline()).add(stretch)
    return found


def of_recording(name: str, known: Mapping[str, Known], *, only: bool = False) -> Known | None:
    """What is known under a recording's name, or else under one that differs by accents or case, which tools drop.

    Args:
        name: of the recording.
        known: by name.
        only: whether this is the only recording: then what is known of the only one is its own, whatever its name.

    Raises:
        DataError: several names differ from the recording's by accents or case, and none is the same.
    """
    if name in known:
        return known[name]
    if only and len(known) == 1:
        return next(iter(known.values()))
    alike = [each for each in known if _plain(each) == _plain(name)]
    if len(alike) > 1:
        raise DataError(
            f"{name}: {', '.join(alike)} differ from it by accents or case alone: expected the very same name"
        )
    return known[alike[0]] if alike else None


def _plain(name: str) -> str:
    parts = unicodedata.normalize("NFKD", name)
    return "".join(each for each in parts if not unicodedata.combining(each)).casefold()


def errors(truth: Annotation, found: Annotation, scope: Timeline | None = None) -> dict[float, Errors]:
    """How far what was found is from the truth, with each of :data:`COLLARS`; ``scope`` is what is scored."""
    from emodag.diarization.evaluation import evaluate

    return {collar: evaluate(truth, found, collar=collar, uem=scope) for collar in COLLARS}


def table(errors: Mapping[float, Sequence[Errors]]) -> list[str]:
    """Error rates of recordings as lines for people, in %.

    Args:
        errors: collar (s on each side) -> of each recording.
    """
    from emodag.diarization.evaluation import overall

    columns = ("DER", "false alarm", "missed", "confusion", "JER")
    keys = ("der", "false_alarm", "miss", "confusion", "jer")
    lines = []
    for collar, rows in errors.items():
        width = max(len(each.uri) for each in rows)
        lines.append(f"collar {collar:g} s on each side")
        lines.append("  ".join((f"{'':{width}}", *(f"{column:>11}" for column in columns), "speakers")))
        for each in rows:
            summary = each.summary()
            cells = (f"{100 * summary[key]:11.1f}" for key in keys)
            lines.append("  ".join((f"{each.uri:{width}}", *cells, _count(each))))
        if len(rows) > 1:
            summary = overall(rows)
            cells = (f"{100 * summary[key]:11.1f}" for key in keys)
            right = f"right in {summary['speaker_count_right']:.0%}"
            lines.append("  ".join((f"{'all':{width}}", *cells, right)))
    return lines


def _count(errors: Errors) -> str:
    return f"{errors.found_speakers} of {errors.reference_speakers}"
