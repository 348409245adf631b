"""Unpacking a zip archive that somebody else made, without trusting it.

All names and sizes are checked before anything is written, and one bad member condemns the archive: a publisher's
archive has none. Refused are names that lead out of the folder (absolute ones, ``..``, drives, backslashes), that hold
a control character or a zero byte, or that differ in nothing but case or Unicode form; links, devices and whatever
else is neither file nor folder; encrypted members; and archives that unpack to much more than speech in a zip can be
(Fifield (2019), A better zip bomb, WOOT 19: members may also overlap, so the sum of their packed sizes counts). What is
written then is at most what was announced, and its CRC-32 must fit.
"""

from __future__ import annotations

import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from emodag.collection.space import require_space, telling_when_full
from emodag.corpora.base import as_text
from emodag.errors import CorpusError

_CHUNK = 1 << 20  # bytes
_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 0x1  # of a member's flags
_LONGEST_PART = 255  # bytes, of a name between two slashes
#: What zipfile and zlib raise on archives that are damaged, or of a kind that they do not know.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class BadArchive(CorpusError):
    """An archive is damaged, or holds what no publisher of a corpus puts into one."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold. Recordings shrink to a half or so in a zip, tables and silence to a twentieth."""

    members: int = 100_000
    size: int = 20_000_000_000  #: bytes of all members, unpacked
    ratio: float = 50.0  #: of that to the size of the archive


class Member(NamedTuple):
    """A file in an archive, and where it goes below the folder that is unpacked into."""

    info: zipfile.ZipInfo
    path: PurePosixPath


def unpack(
    archive: Path,
    folder: Path,
    *,
    keep: Callable[[PurePosixPath], bool] | None = None,
    strip: int = 0,
    limits: Limits = Limits(),
) -> None:
    """Unpack into a folder that is there, and that the caller makes atomic.

    Args:
        archive: a zip file.
        folder: what it is unpacked into.
        keep: whether a file is wanted, by its path below ``folder``; all are if left out.
        strip: so many leading folders of each member's name are left out.
        limits: beyond which the archive is refused.

    Raises:
        BadArchive: it is damaged or hostile, or holds a file that is there already.
        CorpusError: the disk is too small.
    """
    from emodag.parallel import progress

    with _readable(archive), zipfile.ZipFile(archive) as file:
        members = [member for member in contents(file, strip, limits) if keep is None or keep(member.path)]
        require_space(folder, sum(member.info.file_size for member in members), f"to unpack {archive.name}")
        with telling_when_full(folder, f"nothing of {archive.name} was unpacked; make room and try again"):
            for member in progress(members, total=len(members), description=f"unpack {archive.name}"):
                _write(file, member, folder / member.path)


def contents(file: zipfile.ZipFile, strip: int, limits: Limits) -> list[Member]:
    """The files of an archive, each checked and all checked together.

    Raises:
        BadArchive: a member, or all of them together, cannot be trusted.
    """
    name = Path(file.filename).name
    infos = file.infolist()
    _check_sizes(name, infos, Path(file.filename).stat().st_size, limits)
    members = []
    for info in infos:
        path = _path(name, info)
        if not info.is_dir() and len(path.parts) > strip:
            members.append(Member(info, PurePosixPath(*path.parts[strip:])))
    _check_names(name, [member.path for member in members])
    return members


def _check_sizes(archive: str, infos: Sequence[zipfile.ZipInfo], packed: int, limits: Limits) -> None:
    size = sum(info.file_size for info in infos)
    if len(infos) > limits.members:
        raise _refused(archive, f"holds {len(infos)} members; accepted: up to {limits.members}")
    if sum(info.compress_size for info in infos) > packed:
        raise _refused(archive, "its members overlap, as in a zip bomb")
    if size > limits.size or size > limits.ratio * packed:
        raise _refused(
            archive,
            f"would unpack to {size} bytes, {size / max(packed, 1):.0f} times its own; accepted: up to {limits.size} "
            f"bytes and {limits.ratio:.0f} times",
        )


def _path(archive: str, info: zipfile.ZipInfo) -> PurePosixPath:
    # Up to a zero byte, zipfile's `filename` is what an operating system would take the name for.
    name = info.orig_filename
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    if "\\" in name or path.is_absolute() or _DRIVE.match(name) or ".." in path.parts or not path.parts:
        raise _refused(archive, f"holds {name!r}, a name that leads elsewhere")
    if not name.isprintable() or any(len(part.encode()) > _LONGEST_PART for part in path.parts):
        raise _refused(archive, f"holds {as_text(name)!r}, which will not do as the name of a file")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(archive, f"holds {name!r}, {_KINDS.get(kind, 'no file')}; accepted: files and folders")
    if info.flag_bits & _ENCRYPTED:
        raise _refused(archive, f"holds {name!r}, which is encrypted")
    if info.compress_type not in _METHODS:
        raise _refused(archive, f"holds {name!r}, packed by method {info.compress_type}; accepted: stored, deflated")
    return path


def _check_names(archive: str, paths: Sequence[PurePosixPath]) -> None:
    """No name may be there twice, nor be another one's folder, on any file system."""
    taken = set()
    for path in paths:
        if (key := _key(path)) in taken:
            raise _refused(archive, f"holds {str(path)!r} twice, as some file systems see it")
        taken.add(key)
    for path in paths:
        if any(_key(folder) in taken for folder in path.parents):
            raise _refused(archive, f"holds a file that is the folder of {str(path)!r}, too")


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path).casefold())


def _write(file: zipfile.ZipFile, member: Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Closed by zipfile with an error unless the CRC-32 fits; never more than `file_size` bytes are read.
    with file.open(member.info) as source, target.open("xb") as output:
        shutil.copyfileobj(source, output, _CHUNK)
    if target.stat().st_size != member.info.file_size:
        raise zipfile.BadZipFile(f"{member.path} ends early")


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise _refused(archive.name, f"is damaged: {error}") from None
    except FileExistsError as error:
        raise _refused(archive.name, f"holds {Path(error.filename).name!r}, which is there already") from None


def _refused(archive: str, why: str) -> BadArchive:
    return BadArchive(f"{archive}: {why}; nothing of it is used")
