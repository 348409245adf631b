"""Bringing in a published corpus from its publisher: downloaded, verified, unpacked, then added like any folder.

Everything waits in one folder until it is whole: what is downloaded in ``files``, as ``NAME.incomplete`` until it is
verified, objects of Git LFS likewise in ``objects``, and the corpus in ``unpacked``, which is there only once all of it
is. An interrupted fetch goes on where it stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from emodag import layout, params
from emodag.collection import management
from emodag.collection.downloading import RemoteFile, Session, Unavailable, download, missing
from emodag.collection.inspection import Report
from emodag.collection.sources import (
    BY_REGISTRATION,
    PUBLISHERS,
    SOURCES,
    Pointer,
    Release,
    Servers,
    lfs_objects,
    pointer,
)
from emodag.collection.space import megabytes, require_space, telling_when_full
from emodag.collection.unpacking import BadArchive, unpack
from emodag.corpora import get
from emodag.corpora.demo import CORPORA as DEMOS
from emodag.errors import CorpusError, did_you_mean
from emodag.files import atomic_directory
from emodag.params import Role

#: Where a download waits that nobody wants to keep; neither git nor DVC sees it.
DOWNLOADS = Path(".emodag/downloads")

UNPACKED = "unpacked"
_ARCHIVE = ".zip"
_FILES, _OBJECTS, _LOCK = "files", "objects", ".lock"


class RegistrationNeeded(CorpusError):
    """A corpus is handed out by its publisher to those who ask for it; the message says how."""


def fetch(
    name: str,
    folder: Path | None = None,
    role: Role | None = None,
    *,
    accept: Callable[[str], object],
    tell: Callable[[str], object] = print,
    servers: Servers = PUBLISHERS,
    patience: float = 1.0,
) -> Report | None:
    """Download a corpus, verify and unpack it, and bring it in as :func:`emodag.collection.management.add` does.

    The report is None where it was in already.

    Args:
        name: of a published corpus.
        folder: below which the download is kept; by default :data:`DOWNLOADS`, and it is deleted once the corpus is in.
        role: what the corpus is used for in ``params.yaml``, if anything.
        accept: given the licence, as lines for people; raises CorpusError unless it is accepted.
        tell: given lines for people.
        servers: that are asked.
        patience: seconds before a second attempt at anything; each further one waits twice as long.

    Raises:
        RegistrationNeeded: no command can fetch this corpus.
        CorpusError: there is no such corpus, it cannot be had, is not what its publisher describes, or does not fit
            onto the disk; this is not the root of a checkout; or see :func:`emodag.collection.management.add`.
        ParamsError: ``params.yaml`` is not valid.
    """
    _require_fetchable(name)
    params.load()
    management.require_checkout()
    if management.tracking_file(name).is_file() and layout.raw(name).is_dir():
        return management.add(name, role=role)
    accept(_terms(name))
    place = (folder or DOWNLOADS) / name
    with _alone(place):
        if (place / UNPACKED).is_dir():
            tell(f"{place / UNPACKED} is there already and is not fetched again")
        else:
            _obtain(name, place, tell, servers, Session(patience))
        report = management.add(name, place / UNPACKED, role)
    if folder is None:
        shutil.rmtree(place)
    return report


def _require_fetchable(name: str) -> None:
    if name in BY_REGISTRATION:
        raise RegistrationNeeded(
            f"{get(name).title} is given only to those who ask its publisher for it:\n{BY_REGISTRATION[name]}"
        )
    if name in DEMOS:
        raise CorpusError(f"{name} is made by the synthesize stage; there is nothing to fetch")
    if name not in SOURCES:
        accepted = [*SOURCES, *BY_REGISTRATION]
        raise CorpusError(
            f"{name!r} is no corpus that can be fetched{did_you_mean(name, accepted) or '.'} Accepted: "
            f"{', '.join(SOURCES)}; with instructions: {', '.join(BY_REGISTRATION)}"
        )


def _terms(name: str) -> str:
    """What a person has to know, and to accept, before a corpus is fetched."""
    corpus, source = get(name), SOURCES[name]
    return (
        f"{name}: {corpus.title}\n  licence: {corpus.licence}\n  terms: {source.terms}\n  cite: {corpus.citation}\n"
        f"  from: {source.releases[0].origin}"
    )


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Two processes that append to one file would ruin it."""
    from filelock import FileLock, Timeout

    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / _LOCK, timeout=0):
            yield
    except Timeout:
        raise CorpusError(f"{place}: another process is fetching into this folder") from None
    except FileExistsError:
        raise CorpusError(f"{place}: a file; accepted: a folder, which is made where there is none") from None
    except OSError as error:
        raise CorpusError(f"{error.filename or place}: {error.strerror or error}") from None


def _obtain(name: str, place: Path, tell: Callable[[str], object], servers: Servers, session: Session) -> None:
    """Make ``unpacked`` from the first release that can be had."""
    releases = SOURCES[name].releases
    for release, others in zip(releases, [*releases[1:], None], strict=True):
        try:
            _obtain_release(name, release, place, tell, servers, session)
            return
        except Unavailable as error:
            if others is None:
                raise
            tell(f"{error}\ntrying {others.origin} instead")


def _obtain_release(
    name: str, release: Release, place: Path, tell: Callable[[str], object], servers: Servers, session: Session
) -> None:
    files = release.files(session, servers)
    pairs = [(file, place / _FILES / file.name) for file in files]
    if not files or len({target for _, target in pairs}) < len(pairs):
        raise Unavailable(f"{release.origin}: no files there, or two of one name; {name} was moved or replaced")
    _tell_size(release, files, tell)
    for _, target in pairs:
        target.parent.mkdir(parents=True, exist_ok=True)
    # An archive needs at least as much again to be unpacked; how much, it tells when it is there.
    archives = sum(file.size or 0 for file, target in pairs if target.suffix == _ARCHIVE)
    require_space(place, sum(missing(*pair) for pair in pairs) + archives, f"to download and unpack {name}")
    download(session, [pairs], _sum(files), f"fetch {name}")
    with atomic_directory(place / UNPACKED) as unpacked:
        for file, target in pairs:
            if target.suffix == _ARCHIVE:
                _unpack(file, target, unpacked, release)
            else:
                _link(target, unpacked / file.name)
        _resolve_pointers(unpacked, place / _OBJECTS, release.lfs(servers) if release.lfs else (), tell, session)


def _unpack(file: RemoteFile, archive: Path, folder: Path, release: Release) -> None:
    try:
        unpack(archive, folder, keep=release.keep, strip=release.strip)
    except BadArchive as error:
        if file.checksum is not None:
            raise  # the publisher's file is like that
        archive.unlink()
        raise BadArchive(f"{error}; it was deleted, so that the same command fetches it anew") from None


def _tell_size(release: Release, files: Sequence[RemoteFile], tell: Callable[[str], object]) -> None:
    size = _sum(files)
    tell(f"{release.origin}: files: {len(files)}, {'size unknown' if size is None else megabytes(size)}")
    if unverifiable := [file.name for file in files if file.checksum is None]:
        tell(
            f"no checksum is published for {', '.join(unverifiable)}: verified are its size as the server tells it, "
            "and that the archive is whole"
        )


def _sum(files: Sequence[RemoteFile]) -> int | None:
    sizes = [file.size for file in files]
    return None if None in sizes else sum(sizes)


def _resolve_pointers(
    unpacked: Path, objects: Path, lfs: Sequence[str], tell: Callable[[str], object], session: Session
) -> None:
    """Replace pointers of Git LFS by what they point to."""
    found = {path: pointer(path) for path in sorted(unpacked.rglob("*")) if path.is_file()} if lfs else {}
    pointers = {path: pointed for path, pointed in found.items() if pointed}
    if not pointers:
        return
    objects.mkdir(exist_ok=True)
    for server, other in zip(lfs, [*lfs[1:], None], strict=True):
        try:
            _fetch_objects(set(pointers.values()), objects, server, tell, session)
            break
        except Unavailable as error:
            if other is None:
                raise
            tell(f"{error}\ntrying {other} instead")
    for path, pointed in pointers.items():
        path.unlink()
        _link(objects / pointed.sha256, path)


def _fetch_objects(
    wanted: set[Pointer], objects: Path, server: str, tell: Callable[[str], object], session: Session
) -> None:
    """Fetch what is not there yet; an object has its name only since its SHA-256 was found to be right."""
    lacking = sorted((pointed for pointed in wanted if not (objects / pointed.sha256).is_file()), key=astuple)
    size = sum(pointed.size for pointed in lacking)
    tell(f"{server}: objects: {len(lacking)}, {megabytes(size)}")
    require_space(objects, size, "for the objects of Git LFS")
    batches = ([(remote, objects / remote.name) for remote in batch] for batch in lfs_objects(session, server, lacking))
    download(session, batches, size, "fetch objects")


def _link(source: Path, target: Path) -> None:
    """A second name for a file, so that it takes no more room; a copy where the file system has no such thing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        with telling_when_full(target.parent, "nothing was unpacked; make room and try again"):
            shutil.copyfile(source, target)
