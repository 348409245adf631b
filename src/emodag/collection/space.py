"""Room on a disk: asked for before anything large is written, and told of in one line where it ran out all the same."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emodag.errors import CorpusError

#: A full file system, a used-up quota, and a largest file that the system or the account allows.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Make sure that ``needed`` bytes fit into a folder that is there.

    Raises:
        CorpusError: they do not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CorpusError(f"{folder}: {megabytes(free)} are free, {megabytes(needed)} are needed {purpose}")


@contextmanager
def telling_when_full(folder: Path, kept: str) -> Iterator[None]:
    """Turn a write that found no room below ``folder`` into a CorpusError, which says what was ``kept``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise CorpusError(f"{folder}: {error.strerror}; {kept}") from None


def megabytes(count: int) -> str:
    """A number of bytes for people: ``208.5 MB``, in millions of bytes as disks and downloads are counted."""
    return f"{count / 1e6:.1f} MB"
