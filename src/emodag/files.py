"""Writing so that a killed process leaves no half output that passes for a whole one."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Names of outputs in the making; ``.dvcignore`` and ``.gitignore`` list the pattern, so neither ever sees one.
PARTIAL = ".{name}.{process}.partial"


def _partial(path: Path) -> Path:
    return path.parent / PARTIAL.format(name=path.name, process=os.getpid())


def _remove_left_over(path: Path) -> None:
    """Take away what killed attempts at ``path`` left; whatever a dying worker still writes there goes next time."""
    for partial in path.parent.glob(PARTIAL.format(name=glob.escape(path.name), process="*")):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``path`` only if the block ends without an error.

    It lies beside ``path`` (same file system, so the final step is a rename). What an earlier, killed attempt left is
    removed first; what stood at ``path`` is replaced.
    """
    path = Path(path)
    partial = _partial(path)
    _remove_left_over(path)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        # Workers may still write there; that must not hide what went wrong.
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _remove(path)
    partial.rename(path)


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; it replaces ``path`` only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    partial = _partial(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically; NaN and infinity are refused (``ValueError``)."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file written by :func:`write_json`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
