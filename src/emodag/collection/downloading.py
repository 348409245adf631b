"""Files from a publisher's server: resumed after an interruption, and verified before they get their name.

What has arrived so far stands beside the file's place as ``NAME.incomplete``, and a later call goes on from there (HTTP
ranges, RFC 9110, section 14). Where the publisher states a checksum, it decides in the end whether the parts fit
together; where none is stated, ``If-Range`` with the server's own validator makes sure that they are of one version,
and what is left to verify is the size.

Everything goes over https, redirections too. Only a server on the loopback interface, as tests start one, may speak
plain http.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from emodag import __version__
from emodag.collection.space import megabytes, telling_when_full
from emodag.errors import CorpusError
from emodag.files import read_json, write_json

CONNECTIONS = 4  # at a time: most corpora are a few archives, some are thousands of small files

_TIMEOUT = (10, 60)  # s, to connect and between two pieces of an answer
_LONGEST_WAIT = 60  # s, between two attempts, whatever a server asks for
_ATTEMPTS = 4  # that bring nothing, before a server counts as out of reach
_MOST_ATTEMPTS = 100  # at one file, however little each brings
_REDIRECTIONS = 5
_BUSY = (429, 500, 502, 503, 504)
_CHUNK = 1 << 18  # bytes
_CHECKSUM = re.compile(r"(?:md5:\w{32}|sha1:\w{40}|sha256:\w{64}|sha512:\w{128})")
_LARGEST_ANSWER = 50_000_000  # bytes, of JSON
_LONGEST_QUOTE = 300  # characters
_LARGEST_FILE = 20_000_000_000  # bytes, where the publisher states no size
_SECONDS_BETWEEN_LOG_LINES = 60


class Unavailable(CorpusError):
    """A server is out of reach, refuses, or answers in a form that is not known; another one may have the same."""


class _Cut(Exception):
    """An answer ended before its end."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as its publisher describes it."""

    name: str  #: its path below the folder of downloads
    url: str
    size: int | None = None  #: bytes; None where the publisher does not state it
    checksum: str | None = None  #: as in ``md5:d41d8...``; None where the publisher states none
    headers: Mapping[str, str] = field(default_factory=dict)  #: to be sent with the request

    def __post_init__(self):
        if self.size is not None and self.size < 0:
            raise ValueError(f"{self.name}: {self.size} is no size")
        if self.checksum is not None and not _CHECKSUM.fullmatch(self.checksum):
            raise ValueError(f"{self.name}: {self.checksum!r} is no checksum; accepted: md5, sha1, sha256, sha512")


class Session(requests.Session):
    """Requests that wait and try again where a server is busy, and never leave https.

    Args:
        patience: seconds to wait before the second attempt; each further one waits twice as long.
    """

    def __init__(self, patience: float = 1.0):
        super().__init__()
        self.patience = patience
        self.max_redirects = _REDIRECTIONS
        self.headers["User-Agent"] = f"emodag/{__version__}"
        # Without this, a .netrc would replace the authorization that a server itself gave for one of its files.
        self.auth = lambda request: request
        retry = Retry(
            total=_ATTEMPTS - 1,
            status_forcelist=_BUSY,
            allowed_methods=("GET", "POST"),
            backoff_factor=patience,
            backoff_max=_LONGEST_WAIT,
            retry_after_max=_LONGEST_WAIT,
            raise_on_status=False,
        )
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=CONNECTIONS))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where a response leads; see :meth:`requests.Session.get_redirect_target`.

        Raises:
            Unavailable: that is no https.
        """
        target = super().get_redirect_target(resp)
        if target is not None:
            require_secure(urljoin(resp.url, target), resp.url)
        return target

    def json(self, method: str, url: str, **options: Any) -> Any:
        """The content of a JSON answer.

        Raises:
            Unavailable: there is none.
        """
        content = bytearray()
        with self._answer(method, url, **options) as response:
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > _LARGEST_ANSWER:
                    raise Unavailable(f"{url}: the answer is longer than {megabytes(_LARGEST_ANSWER)}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{url}: the answer is no JSON: {error}") from None

    @contextmanager
    def _answer(self, method: str, url: str, *, accepted: Sequence[int] = (), **options: Any) -> Iterator:
        """A response whose body is yet to be read, of a status below 400 or ``accepted``."""
        require_secure(url)
        try:
            with self.request(method, url, stream=True, timeout=_TIMEOUT, **options) as response:
                if response.status_code >= 400 and response.status_code not in accepted:
                    said = readable(f"{response.reason}{_message(response)}")
                    raise Unavailable(f"{url}: HTTP {response.status_code} {said}")
                yield response
        except requests.RequestException as error:
            raise Unavailable(f"{url}: {_reason(error)}") from None

    def receive(
        self, remote: RemoteFile, target: Path, advance: Callable[[int], object], stop: threading.Event
    ) -> None:
        """Bring a file to ``target``, from where an earlier attempt was interrupted; nothing is done if it is there.

        Args:
            remote: what is fetched.
            target: where it goes; its folder is there.
            advance: told of bytes as they arrive, also of those that are there already; negative when some are dropped.
            stop: set by another thread to end this one early.

        Raises:
            Unavailable: the server is out of reach, or breaks off again and again.
            CorpusError: what arrived is not what the publisher describes, or the disk is full.
        """
        if target.is_file() and _fault(target, remote) is None:
            advance(target.stat().st_size)
            return
        partial = incomplete(target)
        advance(_size(partial))
        resumed = _size(partial) > 0
        kept = "what has arrived is kept: make room, and the same command goes on from there"
        with telling_when_full(target.parent, kept):
            self._receive_all(remote, partial, advance, stop)
            fault = _fault(partial, remote)
            if fault and resumed:
                _drop(partial, advance)
                self._receive_all(remote, partial, advance, stop)
                fault = _fault(partial, remote)
        if fault:
            _drop(partial, advance)
            raise CorpusError(f"{remote.url}: {fault}; it was deleted")
        partial.replace(target)
        _validators(partial).unlink(missing_ok=True)

    def _receive_all(
        self, remote: RemoteFile, partial: Path, advance: Callable[[int], object], stop: threading.Event
    ) -> None:
        fruitless = 0
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            before = _size(partial)
            try:
                self._receive_once(remote, partial, advance, stop)
                return
            except _Cut as error:
                fruitless = 0 if _size(partial) > before else fruitless + 1
                if fruitless == _ATTEMPTS or attempt == _MOST_ATTEMPTS:
                    raise Unavailable(
                        f"{remote.url}: {error}; the {megabytes(_size(partial))} that have arrived are kept, and the "
                        "same command goes on from there"
                    ) from None
            if stop.wait(min(self.patience * 2**fruitless, _LONGEST_WAIT)):
                raise _Stopped

    def _receive_once(
        self, remote: RemoteFile, partial: Path, advance: Callable[[int], object], stop: threading.Event
    ) -> None:
        """Append to what is there what is missing, or as much as arrives of it."""
        offset, condition = _resumable(remote, partial)
        if offset < _size(partial):
            _drop(partial, advance)
        if remote.size is not None and offset == remote.size:
            partial.touch()  # a file of no bytes is there as soon as it has its name
            return
        headers = {"Accept-Encoding": "identity", **remote.headers, **condition}
        with self._answer("GET", remote.url, headers=headers, accepted=(416,)) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Unavailable(f"{remote.url}: comes compressed, which was not asked for")
            if response.status_code == 416 or (response.status_code == 206 and _first(response) != offset):
                _drop(partial, advance)
                raise _Cut("the server has not the part that is missing")
            if response.status_code != 206:
                _drop(partial, advance)
                _note_validator(remote, partial, response)
            total = _total(response)
            if remote.size is not None and total not in (None, remote.size):
                raise CorpusError(f"{remote.url}: has {total} bytes, its publisher states {remote.size}")
            largest = remote.size or total or _LARGEST_FILE
            try:
                with partial.open("ab") as file:
                    # response.iter_content would lose what arrived since its last full chunk when a connection breaks.
                    while chunk := response.raw.read1(_CHUNK, decode_content=False):
                        file.write(chunk)
                        advance(len(chunk))
                        if file.tell() > largest:
                            raise CorpusError(f"{remote.url}: sends more than {largest} bytes")
                        if stop.is_set():
                            raise _Stopped
            except urllib3.exceptions.HTTPError as error:
                raise _Cut(f"the connection broke: {error}") from None
            if total not in (None, _size(partial)) or remote.size not in (None, _size(partial)):
                raise _Cut("the connection broke")


class _Stopped(Exception):
    """Another file could not be had, so this one is left as it is."""


def download(
    session: Session, batches: Iterable[Sequence[tuple[RemoteFile, Path]]], size: int | None, description: str
) -> None:
    """Bring files to their places, a few at a time, and tell how far it has come.

    Args:
        session: that fetches them.
        batches: files and their places; the next batch is asked for once one is there.
        size: of all, in bytes; None if it is not known.
        description: of the work, for the progress bar.

    Raises:
        CorpusError: one of them cannot be had; what has arrived of all others is kept.
    """
    stop = threading.Event()
    with _progress(size, description) as advance, ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            for batch in batches:
                futures = [pool.submit(session.receive, remote, target, advance, stop) for remote, target in batch]
                for future in as_completed(futures):
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def incomplete(target: Path) -> Path:
    """Where a file grows until it is whole."""
    return target.with_name(f"{target.name}.incomplete")


def missing(remote: RemoteFile, target: Path) -> int:
    """Bytes of a file of known size that have yet to arrive."""
    return max(0, (remote.size or 0) - _size(target if target.is_file() else incomplete(target)))


def require_secure(url: str, origin: str | None = None) -> None:
    """Make sure that a request is encrypted, or stays on the loopback interface where it started there.

    Raises:
        Unavailable: neither is the case.
    """
    if urlsplit(url).scheme != "https" and not (_is_loopback(url) and (origin is None or _is_loopback(origin))):
        raise Unavailable(f"{origin or url}: leads to {readable(url)}; accepted: https")


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


# --- what has arrived


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _drop(partial: Path, advance: Callable[[int], object]) -> None:
    advance(-_size(partial))
    partial.unlink(missing_ok=True)
    _validators(partial).unlink(missing_ok=True)


def _fault(path: Path, remote: RemoteFile) -> str | None:
    """What is wrong with a file that has arrived; None if nothing is, as far as the publisher lets us know."""
    if remote.size not in (None, _size(path)):
        return f"{_size(path)} bytes arrived, its publisher states {remote.size}"
    if remote.checksum is None:
        return None
    algorithm, _, stated = remote.checksum.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    return None if found == stated.lower() else f"its {algorithm} is {found}, its publisher states {stated}"


def _validators(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _note_validator(remote: RemoteFile, partial: Path, response: requests.Response) -> None:
    """Keep what tells this version of the file from others, for want of a checksum."""
    if remote.checksum is None and (validator := _strong_validator(response)):
        write_json(_validators(partial), {"url": remote.url, "validator": validator})


def _strong_validator(response: requests.Response) -> str | None:
    """An ETag that promises equal bytes, else the time of the last change."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag


def _resumable(remote: RemoteFile, partial: Path) -> tuple[int, dict[str, str]]:
    """How many bytes that are there may be kept, and the headers that ask for the others."""
    there = _size(partial)
    if not there or (remote.size is not None and there > remote.size):
        return 0, {}
    headers = {"Range": f"bytes={there}-"}
    if remote.checksum is not None:
        return there, headers
    noted = read_json(_validators(partial)) if _validators(partial).is_file() else {}
    if noted.get("url") != remote.url:
        return 0, {}
    return there, headers | {"If-Range": noted["validator"]}


# --- what a server says


def _first(response: requests.Response) -> int | None:
    """The place in the file of the first byte of a partial answer."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _total(response: requests.Response) -> int | None:
    """The size of the whole file, where the server tells it."""
    if response.status_code == 206:
        match = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _message(response: requests.Response) -> str:
    """What a server gives as the reason of a refusal, if it does so in JSON."""
    try:
        said = json.loads(next(response.iter_content(10_000), b""))
    except (ValueError, RecursionError, requests.RequestException):
        return ""
    return f": {said['message']}" if isinstance(said, dict) and "message" in said else ""


def readable(text: object) -> str:
    """What a server wrote, as part of a line for people: short, and without control characters."""
    line = " ".join(str(text).split())
    return "".join(character for character in line if character.isprintable())[:_LONGEST_QUOTE]


def _reason(error: requests.RequestException) -> str:
    """An error of the network in a few words."""
    if isinstance(error, requests.exceptions.SSLError):
        return f"no secure connection: {_root(error)}"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {_TIMEOUT[0]} s"
    if isinstance(error, requests.ReadTimeout):
        return f"no answer within {_TIMEOUT[1]} s"
    if isinstance(error, requests.TooManyRedirects):
        return f"more than {_REDIRECTIONS} redirections"
    return str(_root(error))


def _root(error: BaseException) -> object:
    """What an error of requests was made of: it wraps one of urllib3, which may wrap the cause."""
    cause = error.args[0] if error.args else error
    return getattr(cause, "reason", cause)


# --- how far it has come


@contextmanager
def _progress(total: int | None, description: str) -> Iterator[Callable[[int], object]]:
    """A function to be told of bytes, by any thread: a terminal shows a bar, a log gets one line per minute."""
    lock = threading.Lock()
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=description, unit="B", unit_scale=True, leave=False) as bar:

            def show(count: int) -> None:
                with lock:
                    bar.update(count)

            yield show
        return
    done, last = 0, time.monotonic()

    def log(count: int) -> None:
        nonlocal done, last
        with lock:
            done += count
            if time.monotonic() - last >= _SECONDS_BETWEEN_LOG_LINES:
                last = time.monotonic()
                of = f" of {megabytes(total)}" if total else ""
                print(f"{description}: {megabytes(done)}{of}", file=sys.stderr, flush=True)

    yield log
