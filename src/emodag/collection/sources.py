"""Where the published corpora lie on the network, and what their publishers say of each file there.

Sizes and checksums are always asked of the publisher; none is written down here, so none can be out of date or wrong.
What libraries offer for this stops short of what is needed: pooch knows Zenodo and Dataverse but resumes nothing, and
scmrepo's client of Git LFS neither verifies what it fetched nor asks another server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from emodag.collection.downloading import RemoteFile, Session, Unavailable, readable, require_secure


@dataclass(frozen=True)
class Servers:
    """The servers that are asked; beside each, the page that documents its interface."""

    zenodo: str = "https://zenodo.org"  # https://developers.zenodo.org/#records
    borealis: str = "https://borealisdata.ca"  # https://guides.dataverse.org/en/latest/api/native-api.html
    github_api: str = "https://api.github.com"  # https://docs.github.com/en/rest/repos/contents
    github: str = "https://github.com"  # https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
    gitlab: str = "https://gitlab.com"  # the same interface of Git LFS
    emodb: str = "https://emodb.bilderbar.info"  # http://emodb.bilderbar.info/docu/


PUBLISHERS = Servers()


@dataclass(frozen=True)
class Release:
    """A whole corpus in one place.

    ``files`` asks what there is. Of what archives hold, ``keep`` says what belongs to the corpus (None: all of it), by
    its path without the first ``strip`` folders. Where files may be pointers of Git LFS, ``lfs`` names the servers that
    have the objects themselves, to be asked in turn.
    """

    origin: str
    files: Callable[[Session, Servers], list[RemoteFile]]
    keep: Callable[[PurePosixPath], bool] | None = None
    strip: int = 0
    lfs: Callable[[Servers], Sequence[str]] | None = None


@dataclass(frozen=True)
class Source:
    """How a corpus can be had: the terms to be accepted, and its releases in the order in which they are tried."""

    terms: str
    releases: tuple[Release, ...]


def _zenodo(record: int, wanted: str) -> Callable[[Session, Servers], list[RemoteFile]]:
    """The files of a record whose names match ``wanted``, with the sizes and MD5 sums that the record gives."""

    def files(session: Session, servers: Servers) -> list[RemoteFile]:
        url = f"{servers.zenodo}/api/records/{record}"
        answer = session.json("GET", url)
        with _known_form(url):
            return [
                RemoteFile(
                    _file_name(file["key"]), f"{url}/files/{file['key']}/content", int(file["size"]), file["checksum"]
                )
                for file in answer["files"]
                if re.fullmatch(wanted, file["key"])
            ]

    return files


def _dataverse(identifier: str) -> Callable[[Session, Servers], list[RemoteFile]]:
    """All files of a data set on Borealis, as they were last published, with their sizes and checksums."""

    def files(session: Session, servers: Servers) -> list[RemoteFile]:
        url = f"{servers.borealis}/api/datasets/:persistentId/versions/:latest-published/files"
        answer = session.json("GET", url, params={"persistentId": identifier})
        with _known_form(url):
            return [_of_dataverse(servers.borealis, entry) for entry in answer["data"]]

    return files


def _of_dataverse(server: str, entry: Mapping) -> RemoteFile:
    file = entry["dataFile"]
    algorithm, value = file["checksum"]["type"].replace("-", "").lower(), file["checksum"]["value"]
    # `label` is the name within this version of the data set, and `directoryLabel` its folder, if it has one.
    name = "/".join(filter(None, [entry.get("directoryLabel"), entry["label"]]))
    url = f"{server}/api/access/datafile/{int(file['id'])}"
    return RemoteFile(_file_name(name), url, int(file["filesize"]), f"{algorithm}:{value}")


def _crema_d(_session: Session, servers: Servers) -> list[RemoteFile]:
    """A snapshot of the repository's default branch, made on demand: neither its size nor a checksum is known."""
    return [RemoteFile("CREMA-D.zip", f"{servers.github_api}/repos/{_CREMA_D}/zipball")]


def _emodb(_session: Session, servers: Servers) -> list[RemoteFile]:
    """The archive of the corpus's own site, for which no checksum is published."""
    return [RemoteFile("download.zip", f"{servers.emodb}/download/download.zip")]


_CREMA_D = "CheyneyComputerScience/CREMA-D"
_CREMA_D_TABLES = {"VideoDemographics.csv", "processedResults/summaryTable.csv", "LICENSE.txt", "README.md"}


def _of_crema_d(path: PurePosixPath) -> bool:
    return (path.parts[0] == "AudioWAV" and path.suffix == ".wav") or str(path) in _CREMA_D_TABLES


def _of_emodb(path: PurePosixPath) -> bool:
    return path.suffix in {".wav", ".txt", ".csv"}


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "ravdess": Source(
            "https://creativecommons.org/licenses/by-nc-sa/4.0/",
            (Release("Zenodo, record 1188976", _zenodo(1188976, r"Audio_Speech_Actors_.*\.zip")),),
        ),
        "crema_d": Source(
            "https://opendatacommons.org/licenses/odbl/1-0/",
            (
                Release(
                    f"GitHub, {_CREMA_D}, with Git LFS",
                    _crema_d,
                    keep=_of_crema_d,
                    strip=1,
                    # The account on GitHub now and then has used up what it may send; its owner mirrors it on GitLab:
                    # https://github.com/CheyneyComputerScience/CREMA-D/issues/15
                    lfs=lambda servers: (
                        f"{servers.github}/{_CREMA_D}.git/info/lfs",
                        f"{servers.gitlab}/cs-cooper-lab/crema-d-mirror.git/info/lfs",
                    ),
                ),
            ),
        ),
        "tess": Source(
            "https://creativecommons.org/licenses/by-nc-nd/4.0/",
            (Release("Borealis, doi:10.5683/SP2/E8H2MF", _dataverse("doi:10.5683/SP2/E8H2MF")),),
        ),
        # The authors' release on Zenodo has checksums, so it comes first; the first site still has the same recordings.
        "emodb": Source(
            "https://creativecommons.org/licenses/by/4.0/ for the authors' release on Zenodo",
            (
                Release("Zenodo, record 7447302", _zenodo(7447302, r".*\.zip"), keep=_of_emodb),
                Release("emodb.bilderbar.info", _emodb, keep=_of_emodb),
            ),
        ),
    }
)

#: Corpora whose publishers want to know who has them.
BY_REGISTRATION: Mapping[str, str] = MappingProxyType(
    {
        "savee": (
            "1. Open http://kahlan.eps.surrey.ac.uk/savee/Download.html, read the conditions and register.\n"
            "2. With the access that you are given, download AudioData.zip from there.\n"
            "3. unzip AudioData.zip -d savee\n"
            "4. emodag corpora check savee savee\n"
            "5. emodag corpora add savee savee --role train"
        ),
        "esd": (
            "1. Open https://github.com/HLTSingapore/Emotional-Speech-Data and read the section License.\n"
            "2. Complete the licence form that it links to and send it to the address that is given there.\n"
            "3. Download the archive that the section Download links to, and unpack it into a folder esd.\n"
            "4. emodag corpora check esd esd\n"
            "5. emodag corpora add esd esd --role train"
        ),
    }
)


# --- Git LFS

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n?"
)
_LARGEST_POINTER = 1024  # bytes, as the specification has it
_BATCH = 100  # objects in a request, as git-lfs asks
_LFS_JSON = "application/vnd.git-lfs+json"


@dataclass(frozen=True)
class Pointer:
    """What stands in a repository for a large file: the SHA-256 and the size in bytes of its content."""

    sha256: str
    size: int


def pointer(path: Path) -> Pointer | None:
    """What a file points to; None if it is no pointer of Git LFS."""
    if path.stat().st_size > _LARGEST_POINTER:
        return None
    match = _POINTER.fullmatch(path.read_bytes())
    return Pointer(match[1].decode(), int(match[2])) if match else None


def lfs_objects(session: Session, server: str, pointers: Iterable[Pointer]) -> Iterator[list[RemoteFile]]:
    """Where a server of Git LFS has objects, a batch at a time: the addresses it gives are valid for some minutes only.

    Raises:
        Unavailable: it is out of reach, may send no more, or lacks an object.
    """
    url = f"{server}/objects/batch"
    remaining = iter(pointers)
    while batch := list(islice(remaining, _BATCH)):
        request = {
            "operation": "download",
            "transfers": ["basic"],
            "objects": [{"oid": pointer.sha256, "size": pointer.size} for pointer in batch],
        }
        answer = session.json("POST", url, json=request, headers={"Accept": _LFS_JSON, "Content-Type": _LFS_JSON})
        with _known_form(url):
            described = {item["oid"]: item for item in answer["objects"]}
            objects = [_of_lfs(url, pointer, described[pointer.sha256]) for pointer in batch]
        yield objects


def _of_lfs(server: str, pointer: Pointer, described: Mapping) -> RemoteFile:
    if error := described.get("error"):
        raise Unavailable(f"{server}: object {pointer.sha256}: {readable(error['message'])}")
    action = described["actions"]["download"]
    require_secure(action["href"], server)
    headers = {str(name): str(value) for name, value in action.get("header", {}).items()}
    return RemoteFile(pointer.sha256, action["href"], pointer.size, f"sha256:{pointer.sha256}", headers)


# --- what servers answer


def _file_name(name: str) -> str:
    """A name for the folder of downloads that a server gave.

    Raises:
        ValueError: it would lead out of that folder.
    """
    path = PurePosixPath(name)
    if "\\" in name or not name.isprintable() or path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{name!r} will not do as the name of a file")
    return str(path)


@contextmanager
def _known_form(url: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(f"{url}: the answer has another form than documented: {error!r}") from None
