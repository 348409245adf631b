"""Corpora from publishers, who are played by an HTTP server on the loopback interface."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import itertools
import json
import os
import pty
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emodag import params
from emodag.collection import fetching
from emodag.collection.downloading import RemoteFile, Session, Unavailable, download, incomplete, require_secure
from emodag.collection.fetching import RegistrationNeeded, fetch
from emodag.collection.sources import PUBLISHERS, SOURCES, Pointer, Servers, lfs_objects
from emodag.collection.space import telling_when_full
from emodag.collection.unpacking import BadArchive
from emodag.corpora import REGISTRY
from emodag.errors import CorpusError


@dataclass
class Served:
    """What a path answers: in turn, each status of ``refusals``, then the content.

    ``cuts`` are numbers of bytes after which an answer breaks off, one for each answer; ``ranges`` and ``length`` say
    whether parts can be asked for and whether the length is told.
    """

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    first: int | None = None  # of the bytes that any range gets
    length: bool = True
    reply: Callable[[dict], object] | None = None  # to a POST
    held_after: int | None = None  # bytes, until `go_on` is set
    go_on: threading.Event = field(default_factory=threading.Event)


@dataclass
class Publisher:
    """A server, and what it was asked: method, path and headers."""

    url: str = ""
    paths: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def asked_for(self, path: str) -> list[dict[str, str]]:
        return [headers for _, asked, headers in self.asked if asked == path]

    @property
    def servers(self) -> Servers:
        return Servers(*[self.url] * 6)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    publisher: Publisher

    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes | None):
        self.publisher.asked.append((self.command, self.path, dict(self.headers)))
        served = self.publisher.paths.get(self.path, Served(b"{}", 404))
        if served.refusals:
            status, headers = served.refusals.pop(0)
            return self._send(status, headers, b'{"message": "busy"}', served)
        content = json.dumps(served.reply(json.loads(body))).encode() if served.reply else served.content
        status, headers = served.status, dict(served.headers)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, headers.get("ETag"), headers.get("Last-Modified"))
        if asked and status == 200 and served.ranges and same:
            first = int(asked[1]) if served.first is None else served.first
            if first >= len(content):
                return self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"", served)
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[first:]
        return self._send(status, headers, content, served)

    def _send(self, status: int, headers: dict[str, str], content: bytes, served: Served):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if served.length:
            self.send_header("Content-Length", str(len(content)))
        cut = served.cuts.pop(0) if served.cuts and status in (200, 206) else None
        if cut is not None or not served.length:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if served.held_after:
            self.wfile.write(content[: served.held_after])
            served.go_on.wait()
            self.close_connection = True
        else:
            self.wfile.write(content[:cut])

    def log_message(self, *arguments):
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients that are killed or refuse a certificate are part of the tests."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Publisher]:
    told = Publisher()
    handler = type("Handler", (_Handler,), {"publisher": told})
    with _Server(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        told.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
        yield told
        server.shutdown()
        thread.join()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with serving() as told:
        yield told


@pytest.fixture
def secure_publisher(tmp_path_factory, monkeypatch) -> Iterator[Publisher]:
    """One that speaks https, and whose certificate is trusted here."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "publisher")])
    now = datetime.now(UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "certificate.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(pem))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    with serving(path) as told:
        yield told


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# --- one file

CONTENT = bytes(np.random.default_rng(0).integers(0, 256, 2_000_000, np.uint8))
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "file.bin"


def get(publisher: Publisher, target: Path, **changes) -> None:
    known = {"size": len(CONTENT), "checksum": MD5} | changes
    download(Session(patience=0), [[(RemoteFile("file.bin", f"{publisher.url}/file", **known), target)]], None, "test")


UNKNOWN = {"size": None, "checksum": None}


@pytest.mark.parametrize("known", [{}, {"size": None}, {"checksum": None}, UNKNOWN])
@pytest.mark.parametrize("length", [True, False])
def test_a_file_arrives(publisher, target, known, length):
    publisher.paths["/file"] = Served(CONTENT, length=length)
    get(publisher, target, **known)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert len(publisher.asked) == 1


def test_a_file_of_no_bytes(publisher, target):
    get(publisher, target, size=0, checksum=f"md5:{hashlib.md5(b'').hexdigest()}")
    assert target.read_bytes() == b""


def test_a_file_that_is_there_is_not_fetched_again_unless_it_is_another(publisher, target):
    publisher.paths["/file"] = Served(CONTENT)
    target.write_bytes(CONTENT)
    get(publisher, target)
    assert publisher.asked == []
    target.write_bytes(CONTENT[::-1])
    get(publisher, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("known", [{}, {"checksum": None}])
def test_a_connection_that_breaks_again_and_again_is_taken_up_where_it_broke(publisher, target, known, length):
    publisher.paths["/file"] = Served(CONTENT, cuts=[700_000, 0, 1, 500_000], headers={"ETag": '"1"'}, length=length)
    get(publisher, target, **known)
    assert target.read_bytes() == CONTENT
    starts = [headers.get("Range") for headers in publisher.asked_for("/file")]
    assert starts == [None, "bytes=700000-", "bytes=700000-", "bytes=700001-", "bytes=1200001-"]


def test_a_connection_that_always_breaks_ends_with_what_has_arrived_kept(publisher, target):
    publisher.paths["/file"] = Served(CONTENT, cuts=[900_000, *[0] * 100])
    with pytest.raises(Unavailable, match=r"/file: the connection broke.*0\.9 MB that have arrived are kept"):
        get(publisher, target)
    assert incomplete(target).read_bytes() == CONTENT[:900_000]
    assert not target.exists()
    publisher.paths["/file"].cuts.clear()
    get(publisher, target)
    assert publisher.asked_for("/file")[-1]["Range"] == "bytes=900000-"
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("validator", [{"ETag": '"1"'}, {"Last-Modified": "Thu, 23 Feb 2023 14:47:38 GMT"}])
def test_without_a_checksum_only_the_same_version_is_continued(publisher, target, validator):
    name, value = next(iter(validator.items()))
    publisher.paths["/file"] = Served(CONTENT, cuts=[900_000, *[0] * 100], headers=validator)
    with pytest.raises(Unavailable):
        get(publisher, target, **UNKNOWN)
    publisher.paths["/file"] = Served(CONTENT, headers=validator)
    get(publisher, target, **UNKNOWN)
    last = publisher.asked_for("/file")[-1]
    assert (last["Range"], last["If-Range"]) == ("bytes=900000-", value)
    assert target.read_bytes() == CONTENT

    target.unlink()
    publisher.paths["/file"] = Served(CONTENT, cuts=[900_000, *[0] * 100], headers=validator)
    with pytest.raises(Unavailable):
        get(publisher, target, **UNKNOWN)
    other = CONTENT[::-1]
    publisher.paths["/file"] = Served(other, headers={name: value.replace("1", "2").replace("2023", "2024")})
    get(publisher, target, **UNKNOWN)
    assert target.read_bytes() == other
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_without_checksum_and_validator_a_file_is_fetched_from_the_start(publisher, target, headers):
    publisher.paths["/file"] = Served(CONTENT, cuts=[900_000], headers=headers)
    get(publisher, target, **UNKNOWN)
    assert [headers.get("Range") for headers in publisher.asked_for("/file")] == [None, None]
    assert target.read_bytes() == CONTENT


def test_a_server_that_has_no_ranges(publisher, target):
    publisher.paths["/file"] = Served(CONTENT, cuts=[900_000], ranges=False)
    get(publisher, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_answers_with_another_range(publisher, target):
    publisher.paths["/file"] = Served(CONTENT, cuts=[900_000], headers={"ETag": '"1"'}, first=899_999)
    get(publisher, target, **UNKNOWN)
    assert [headers.get("Range") for headers in publisher.asked_for("/file")] == [None, "bytes=900000-", None]
    assert target.read_bytes() == CONTENT


def test_left_overs_that_are_longer_than_the_file_or_whole(publisher, target):
    publisher.paths["/file"] = Served(CONTENT)
    incomplete(target).write_bytes(CONTENT + b"more")
    get(publisher, target)
    assert target.read_bytes() == CONTENT
    target.rename(incomplete(target))  # killed between the last byte and the new name
    get(publisher, target)
    assert target.read_bytes() == CONTENT
    assert len(publisher.asked) == 1
    incomplete(target).write_bytes(CONTENT)
    target.unlink()
    get(publisher, target, size=None)  # the server says 416
    assert target.read_bytes() == CONTENT


def test_left_overs_that_are_of_another_file_cost_a_second_try(publisher, target):
    publisher.paths["/file"] = Served(CONTENT)
    incomplete(target).write_bytes(CONTENT[::-1][:900_000])
    get(publisher, target)
    assert target.read_bytes() == CONTENT
    assert [headers.get("Range") for headers in publisher.asked_for("/file")] == ["bytes=900000-", None]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"checksum": "md5:" + "0" * 32}, f"its md5 is {MD5[4:]}, its publisher states {'0' * 32}; it was deleted"),
        ({"checksum": "sha256:" + "a" * 64}, "its sha256 is"),
        ({"size": len(CONTENT) - 1}, "has 2000000 bytes, its publisher states 1999999"),
        ({"size": len(CONTENT) + 1}, "has 2000000 bytes, its publisher states 2000001"),
    ],
)
def test_what_is_not_what_the_publisher_describes(publisher, target, known, said):
    publisher.paths["/file"] = Served(CONTENT)
    with pytest.raises(CorpusError, match=said):
        get(publisher, target, **known)
    assert list(target.parent.iterdir()) == []


def test_a_server_that_sends_one_byte_at_a_time_is_given_up(publisher, target):
    publisher.paths["/file"] = Served(CONTENT, cuts=[1] * 1000)
    with pytest.raises(Unavailable, match="the connection broke"):
        get(publisher, target)
    assert incomplete(target).read_bytes() == CONTENT[:100]
    assert len(publisher.asked) == 100


def test_what_a_server_says_cannot_play_with_the_terminal(publisher, target):
    said = json.dumps({"message": "gone\x1b[2J\nfor " + "ever " * 1000}).encode()
    publisher.paths["/file"] = Served(said, status=410)
    with pytest.raises(Unavailable) as error:
        get(publisher, target)
    assert "HTTP 410 Gone: gone[2J for ever ever" in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_more_than_the_publisher_describes_is_not_written(publisher, target):
    publisher.paths["/file"] = Served(CONTENT, length=False)
    with pytest.raises(CorpusError, match="sends more than 1000000 bytes"):
        get(publisher, target, size=1_000_000)
    assert not target.exists()
    assert incomplete(target).stat().st_size < 1_400_000


def test_a_busy_server_is_asked_again(publisher, target):
    publisher.paths["/file"] = Served(CONTENT, refusals=[(429, {"Retry-After": "0"}), (503, {}), (500, {})])
    get(publisher, target)
    assert target.read_bytes() == CONTENT
    publisher.paths["/file"] = Served(CONTENT, refusals=[(503, {})] * 10)
    target.unlink()
    with pytest.raises(Unavailable, match="/file: HTTP 503 Service Unavailable: busy"):
        get(publisher, target)


def test_servers_that_cannot_be_had(publisher, target, nobody):
    with pytest.raises(Unavailable, match="/file: HTTP 404 Not Found"):
        get(publisher, target)
    with pytest.raises(Unavailable, match="Connection refused"):
        get(Publisher(nobody), target)
    with pytest.raises(Unavailable, match="resol"):
        get(Publisher("https://nowhere.invalid"), target)
    with pytest.raises(Unavailable, match="no secure connection"):
        get(Publisher(publisher.url.replace("http:", "https:")), target)
    assert list(target.parent.iterdir()) == []


def test_a_server_that_falls_silent(publisher, target, monkeypatch):
    monkeypatch.setattr("emodag.collection.downloading._TIMEOUT", (1, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match=r"no answer within|timed"):
        get(Publisher(f"http://127.0.0.1:{silent.getsockname()[1]}"), target)


def test_redirections_stay_where_they_are_safe(publisher, target):
    for number in range(3):
        publisher.paths[f"/file{number or ''}"] = Served(status=302, headers={"Location": f"/file{number + 1}"})
    publisher.paths["/file3"] = Served(CONTENT, cuts=[900_000])
    get(publisher, target)
    assert target.read_bytes() == CONTENT
    assert publisher.asked_for("/file3")[-1]["Range"] == "bytes=900000-"
    target.unlink()
    publisher.paths["/file"].headers["Location"] = "http://example.invalid/file"
    with pytest.raises(Unavailable, match=r"/file: leads to http://example\.invalid/file; accepted: https"):
        get(publisher, target)
    publisher.paths["/file"].headers["Location"] = "/file"
    with pytest.raises(Unavailable, match="more than 5 redirections"):
        get(publisher, target)


def test_https_is_never_left(publisher, secure_publisher, target, monkeypatch):
    publisher.paths["/file"] = secure_publisher.paths["/there"] = Served(CONTENT)
    secure_publisher.paths["/file"] = Served(status=302, headers={"Location": "/there"})
    get(secure_publisher, target)
    assert target.read_bytes() == CONTENT
    target.unlink()
    secure_publisher.paths["/file"].headers["Location"] = f"{publisher.url}/file"
    with pytest.raises(Unavailable, match=f"leads to {publisher.url}/file; accepted: https"):
        get(secure_publisher, target)
    assert publisher.asked == []
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(Unavailable, match=r"no secure connection: .*certificate"):
        get(secure_publisher, target)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://zenodo.org/x", None),
        ("http://zenodo.org/x", "https://zenodo.org/"),
        ("http://127.0.0.1/x", "https://zenodo.org/"),
        ("http://localhost.example.org/x", None),
        ("http://127.0.0.1.example.org/x", None),
        ("ftp://127.0.0.1/x", None),
        ("file:///etc/passwd", "https://zenodo.org/"),
    ],
)
def test_addresses_that_are_not_asked(url, origin):
    with pytest.raises(Unavailable, match="accepted: https"):
        require_secure(url, origin)


def test_all_publishers_are_asked_over_https():
    for server in vars(PUBLISHERS).values():
        require_secure(server)
        assert server.startswith("https://")


def test_when_one_of_many_files_fails_the_others_are_kept_and_none_is_half(publisher, tmp_path):
    for number in range(20):
        publisher.paths[f"/{number}"] = Served(CONTENT[number : number + 50_000])
    del publisher.paths["/11"]
    files = [
        (RemoteFile(str(number), f"{publisher.url}/{number}", 50_000), tmp_path / str(number)) for number in range(20)
    ]
    with pytest.raises(Unavailable, match="/11: HTTP 404"):
        download(Session(patience=0), [files], None, "test")
    assert not (tmp_path / "11").exists()
    for path in tmp_path.iterdir():
        if path.suffix == "":
            assert path.read_bytes() == CONTENT[int(path.name) : int(path.name) + 50_000]
    publisher.paths["/11"] = Served(CONTENT[11 : 11 + 50_000])
    download(Session(patience=0), [files], None, "test")
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(20))


def test_no_file_of_the_account_adds_credentials(publisher, target, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    publisher.paths["/file"] = Served(CONTENT)
    get(publisher, target, headers={"Authorization": "Basic given"})
    assert publisher.asked_for("/file")[0]["Authorization"] == "Basic given"


# --- whole corpora

_seeds = itertools.count()


def sound(seconds: float = 0.1) -> bytes:
    """A WAV file of noise, each another one."""
    file = io.BytesIO()
    samples = np.random.default_rng(next(_seeds)).uniform(-0.1, 0.1, int(16_000 * seconds))
    soundfile.write(file, samples, 16_000, format="WAV")
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return archive.getvalue()


def on_zenodo(publisher: Publisher, record: int, **archives: bytes) -> None:
    """A record as Zenodo describes it, with its archives; two underscores stand for a dot in a name."""
    files = []
    for name, content in archives.items():
        key = name.replace("__", ".")
        publisher.paths[f"/api/records/{record}/files/{key}/content"] = Served(content)
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        files.append({"id": "1", "key": key, "size": len(content), "checksum": checksum, "links": {}})
    publisher.paths[f"/api/records/{record}"] = Served(json.dumps({"id": record, "files": files}).encode())


RAVDESS = 1188976
SPEECH = f"/api/records/{RAVDESS}/files/Audio_Speech_Actors_01-24.zip/content"


def actors(seconds: float = 0.1) -> dict[str, bytes]:
    return {
        f"Actor_{actor:02d}/03-01-{emotion:02d}-01-01-01-{actor:02d}.wav": sound(seconds)
        for actor in (1, 2)
        for emotion in (1, 5)
    }


def accepted(terms: str) -> None:
    pass


def bring(name: str, publisher: Publisher, *arguments, **options):
    told: list[str] = []
    options = {"accept": accepted, "tell": told.append, "servers": publisher.servers, "patience": 0} | options
    report = fetch(name, *arguments, **options)
    return report, "\n".join(told)


def raw(name: str) -> dict[str, bytes]:
    place = Path("data/raw") / name
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def test_ravdess_from_zenodo(checkout, publisher):
    files = actors()
    on_zenodo(
        publisher,
        RAVDESS,
        **{"Audio_Speech_Actors_01-24__zip": zipped(files), "Audio_Song_Actors_01-24__zip": b"", "Video__zip": b""},
    )
    publisher.paths[SPEECH].cuts = [1000]
    shown: list[str] = []
    report, told = bring("ravdess", publisher, role="test", accept=shown.append)
    assert len(report.clips) == 4
    assert raw("ravdess") == files
    assert params.load().corpora["ravdess"] == "test"
    assert "licence: CC BY-NC-SA 4.0" in shown[0]
    assert "https://creativecommons.org/licenses/by-nc-sa/4.0/" in shown[0]
    assert "files: 1, 0.0 MB" in told
    assert "checksum" not in told
    assert {path for _, path, _ in publisher.asked} == {f"/api/records/{RAVDESS}", SPEECH}
    assert publisher.asked_for(SPEECH)[-1]["Range"] == "bytes=1000-"
    assert not (checkout / ".emodag/downloads/ravdess").exists()
    status = subprocess.run(["git", "status", "--short"], capture_output=True, text=True, check=True).stdout
    assert "A  data/raw/ravdess.dvc" in status
    assert ".emodag" not in status

    publisher.asked.clear()
    report, _ = bring("ravdess", publisher, role="train", accept=pytest.fail)
    assert report is None
    assert publisher.asked == []
    assert params.load().corpora["ravdess"] == "train"


def test_a_corpus_that_git_knows_of_and_nobodys_cache_holds(checkout, publisher):
    """As in a clone of somebody else's checkout."""
    files = actors()
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_01-24__zip": zipped(files)})
    bring("ravdess", publisher)
    tracked = Path("data/raw/ravdess.dvc").read_bytes()
    shutil.rmtree("data/raw/ravdess")
    shutil.rmtree(".dvc/cache")
    bring("ravdess", publisher)
    assert raw("ravdess") == files
    assert Path("data/raw/ravdess.dvc").read_bytes() == tracked


def test_a_licence_that_is_not_accepted(checkout, publisher):
    def refuse(terms: str) -> None:
        raise CorpusError("not accepted")

    with pytest.raises(CorpusError, match="not accepted"):
        bring("ravdess", publisher, accept=refuse)
    assert publisher.asked == []
    assert not (checkout / ".emodag").exists()


def test_a_folder_that_keeps_the_download(checkout, publisher, tmp_path):
    files = actors()
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_01-24__zip": zipped(files)})
    bring("ravdess", publisher, tmp_path / "downloads")
    kept = tmp_path / "downloads/ravdess"
    assert (kept / "files/Audio_Speech_Actors_01-24.zip").read_bytes() == publisher.paths[SPEECH].content
    assert sum(path.is_file() for path in (kept / "unpacked").rglob("*")) == 4
    assert raw("ravdess") == files


def test_another_process_in_the_same_folder(checkout, publisher, tmp_path):
    from filelock import FileLock

    (tmp_path / "ravdess").mkdir()
    with FileLock(tmp_path / "ravdess/.lock"), pytest.raises(CorpusError, match="another process"):
        bring("ravdess", publisher, tmp_path)
    assert publisher.asked == []


def test_folders_that_will_not_do(checkout, publisher, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="file/ravdess: Not a directory"):
        bring("ravdess", publisher, tmp_path / "file")
    (tmp_path / "ravdess").touch()
    with pytest.raises(CorpusError, match="ravdess: a file; accepted: a folder"):
        bring("ravdess", publisher, tmp_path)


@pytest.mark.parametrize("change", [{"size": 3}, {"checksum": "md5:" + "0" * 32}])
def test_an_archive_that_is_not_what_the_record_says(checkout, publisher, change):
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_01-24__zip": zipped(actors())})
    record = publisher.paths[f"/api/records/{RAVDESS}"]
    described = json.loads(record.content)
    described["files"][0] |= change
    record.content = json.dumps(described).encode()
    with pytest.raises(CorpusError, match="its publisher states"):
        bring("ravdess", publisher)
    assert not (checkout / "data/raw/ravdess").exists()
    assert [path for path in (checkout / ".emodag").rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_more_than_the_disk_can_hold(checkout, publisher):
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_01-24__zip": zipped(actors())})
    record = publisher.paths[f"/api/records/{RAVDESS}"]
    described = json.loads(record.content)
    described["files"][0]["size"] = 10**17
    record.content = json.dumps(described).encode()
    with pytest.raises(CorpusError, match=r"are free, 200000000000\.0 MB are needed to download and unpack ravdess"):
        bring("ravdess", publisher)
    assert publisher.asked_for(SPEECH) == []


@pytest.mark.parametrize(
    ("where", "largest"), [("files", 1_000_000), ("unpacked", 1_000_000)], ids=["downloading", "unpacking"]
)
def test_a_disk_that_is_full(checkout, publisher, where, largest):
    """Played by a limit to the size of a file, which the kernel enforces as it does a full disk."""
    files = actors()
    if where == "files":
        files |= {f"Actor_03/03-01-{emotion:02d}-01-01-01-03.wav": sound(10) for emotion in range(1, 6)}
    else:
        files["Actor_03/03-01-01-01-01-01-03.wav"] = bytes(500_000) + os.urandom(100_000) + bytes(900_000)
    content = zipped(files)
    assert (len(content) > largest) == (where == "files")
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_01-24__zip": content})
    code = (
        "import resource, sys\n"
        "from emodag.collection.fetching import fetch\n"
        "from emodag.collection.sources import Servers\n"
        "from emodag.errors import EmodagError\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest}))\n"
        "try:\n"
        f"    fetch('ravdess', accept=print, servers=Servers(*['{publisher.url}'] * 6), patience=0)\n"
        "except EmodagError as error:\n"
        "    sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    place = checkout / ".emodag/downloads/ravdess"
    archive = place / "files/Audio_Speech_Actors_01-24.zip"
    assert "File too large" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (checkout / "data/raw/ravdess").exists()
    assert not list(place.glob("unpacked*")) + list(place.glob(".unpacked*"))
    if where == "files":
        assert "what has arrived is kept: make room, and the same command goes on from there" in done.stderr
        assert incomplete(archive).read_bytes() == content[:largest]
        assert not archive.exists()
    else:
        assert f"nothing of {archive.name} was unpacked" in done.stderr
        assert archive.read_bytes() == content
    publisher.asked.clear()
    bring("ravdess", publisher)
    assert raw("ravdess") == files
    asked = [headers["Range"] for headers in publisher.asked_for(SPEECH)]
    assert asked == ([f"bytes={largest}-"] if where == "files" else [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which has no space left at any time")
def test_a_disk_without_space_is_told_of_in_one_line(tmp_path):
    with pytest.raises(CorpusError, match=f"{tmp_path}: No space left on device; all is kept"):  # noqa: SIM117
        with telling_when_full(tmp_path, "all is kept"), Path("/dev/full").open("wb") as full:
            full.write(b"something")
    with pytest.raises(FileNotFoundError), telling_when_full(tmp_path, "all is kept"):
        (tmp_path / "nowhere").read_bytes()


def test_an_archive_that_leads_out_of_its_folder(checkout, publisher):
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_01-24__zip": zipped(actors() | {"../../../evil": b"evil"})})
    with pytest.raises(BadArchive, match="leads elsewhere; nothing of it is used"):
        bring("ravdess", publisher)
    assert not list(checkout.parent.rglob("evil"))
    assert not (checkout / "data/raw/ravdess").exists()
    assert not (checkout / ".emodag/downloads/ravdess/unpacked").exists()


def test_a_record_that_is_gone_or_answers_otherwise(checkout, publisher, nobody):
    with pytest.raises(Unavailable, match="HTTP 404"):
        bring("ravdess", publisher)
    with pytest.raises(Unavailable, match="Connection refused"):
        bring("ravdess", Publisher(nobody))
    for content, said in [
        (b"<html>", "the answer is no JSON"),
        (b"[" * 1_000_000, "the answer is no JSON"),
        (b"[]", "another form than documented"),
        (b'{"files": [{"key": "Audio_Speech_Actors_01-24.zip"}]}', "another form than documented: KeyError"),
        (b'{"files": []}', "no files there"),
    ]:
        publisher.paths[f"/api/records/{RAVDESS}"] = Served(content)
        with pytest.raises(Unavailable, match=said):
            bring("ravdess", publisher)
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_/../../../x__zip": b""})
    with pytest.raises(Unavailable, match="will not do as the name of a file"):
        bring("ravdess", publisher)


def test_tess_from_borealis(checkout, publisher):
    """Single files and an archive, some in folders, sent on from a store without telling their length."""
    words = {"OAF_back_angry.wav": sound(), "YAF_dog_ps.wav": sound()}
    archive = zipped({"OAF_sad/OAF_bar_sad.wav": (third := sound())})
    entries = []
    for number, (name, content) in enumerate([*words.items(), ("OAF_sad.zip", archive)]):
        folder = {"directoryLabel": "YAF_ps"} if name.startswith("YAF") else {}
        checksum = {"type": "MD5", "value": hashlib.md5(content).hexdigest()}
        file = {"id": number, "filename": "stored", "filesize": len(content), "checksum": checksum}
        entries.append({"label": name, "restricted": False, "dataFile": file} | folder)
        place = {"Location": f"/store/{number}?signed=1"}
        publisher.paths[f"/api/access/datafile/{number}"] = Served(status=303, headers=place)
        publisher.paths[f"/store/{number}?signed=1"] = Served(content, length=False, cuts=[100])
    listing = "/api/datasets/:persistentId/versions/:latest-published/files?persistentId=doi%3A10.5683%2FSP2%2FE8H2MF"
    publisher.paths[listing] = Served(json.dumps({"status": "OK", "data": entries}).encode())
    report, told = bring("tess", publisher)
    assert len(report.clips) == 3
    assert "files: 3" in told
    assert raw("tess") == {
        "OAF_back_angry.wav": words["OAF_back_angry.wav"],
        "OAF_sad/OAF_bar_sad.wav": third,
        "YAF_ps/YAF_dog_ps.wav": words["YAF_dog_ps.wav"],
    }


EMODB = 7447302


def test_emodb_from_its_authors_release(checkout, publisher):
    files = {"emodb/wav/03a01Fa.wav": sound(), "emodb/wav/08a01Wa.wav": sound()}
    on_zenodo(publisher, EMODB, emodb__zip=zipped(files | {"emodb/db.yaml": b"name: emodb"}))
    report, told = bring("emodb", publisher)
    assert len(report.clips) == 2
    assert not report.rejected
    assert raw("emodb") == files
    assert "checksum" not in told


def test_emodb_from_its_first_site_where_no_checksum_is_published(checkout, publisher):
    files = {"wav/03a01Fa.wav": sound(), "wav/08a01Wa.wav": sound(), "erkennung.txt": b"votes"}
    publisher.paths["/download/download.zip"] = Served(zipped(files), cuts=[300], headers={"ETag": '"1"'})
    report, told = bring("emodb", publisher)
    assert len(report.clips) == 2
    assert raw("emodb") == files
    assert "HTTP 404" in told
    assert "trying emodb.bilderbar.info instead" in told
    assert "no checksum is published for download.zip: verified are its size as the server tells it" in told
    assert publisher.asked_for("/download/download.zip")[-1]["If-Range"] == '"1"'


def test_a_damaged_archive_without_checksum_is_fetched_anew(checkout, publisher):
    content = zipped({"wav/03a01Fa.wav": sound()})
    publisher.paths["/download/download.zip"] = Served(b"<html>moved</html>")
    with pytest.raises(BadArchive, match=r"is damaged.*deleted, so that the same command fetches it anew"):
        bring("emodb", publisher)
    publisher.paths["/download/download.zip"].content = content
    bring("emodb", publisher)
    assert list(raw("emodb")) == ["wav/03a01Fa.wav"]


# --- CREMA-D: pointers in a snapshot, objects by Git LFS

SNAPSHOT = "/repos/CheyneyComputerScience/CREMA-D/zipball"
TOP = "CheyneyComputerScience-CREMA-D-411a9fc"
GITHUB_LFS = "/CheyneyComputerScience/CREMA-D.git/info/lfs/objects/batch"
GITLAB_LFS = "/cs-cooper-lab/crema-d-mirror.git/info/lfs/objects/batch"
TABLES = {
    "VideoDemographics.csv": b"ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n",
    "processedResults/summaryTable.csv": b"FileName,VoiceVote\n1001_DFA_ANG_XX,A\n",
}


def as_pointer(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n".encode()


@pytest.fixture
def crema_d(publisher) -> dict[str, bytes]:
    """150 recordings, so that two batches are needed; two of them hold the same sound, one is no pointer."""
    clips = {
        f"AudioWAV/{1001 + number // 12}_{sentence}_ANG_XX.wav": sound(0.02)
        for number, sentence in zip(
            range(150),
            itertools.cycle(["DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI"]),
            strict=False,
        )
    }
    names = list(clips)
    clips[names[7]] = clips[names[3]]
    held = {name: as_pointer(content) for name, content in clips.items()}
    held[names[5]] = clips[names[5]]
    others = {"AudioMP3/1001_DFA_ANG_XX.mp3": as_pointer(b"mp3"), "processFinishedResponses.R": b"code"}
    content = zipped({f"{TOP}/{name}": content for name, content in (held | TABLES | others).items()})
    publisher.paths[SNAPSHOT] = Served(status=302, headers={"Location": "/codeload/legacy.zip"})
    publisher.paths["/codeload/legacy.zip"] = Served(content, length=False, ranges=False)
    for content in clips.values():
        publisher.paths[f"/objects/{hashlib.sha256(content).hexdigest()}"] = Served(content)
    return clips


def objects_of(publisher: Publisher, lacking: str = "") -> Callable[[dict], object]:
    def reply(request: dict) -> dict:
        assert request["operation"] == "download"
        assert len(request["objects"]) <= 100
        found = []
        for wanted in request["objects"]:
            if wanted["oid"] == lacking:
                found.append(wanted | {"error": {"code": 404, "message": "Object does not exist"}})
                continue
            download = {"href": f"{publisher.url}/objects/{wanted['oid']}", "header": {"Authorization": "RemoteAuth 1"}}
            found.append(wanted | {"actions": {"download": download}})
        return {"transfer": "basic", "objects": found}

    return reply


def test_crema_d_from_github_with_git_lfs(checkout, publisher, crema_d):
    publisher.paths[GITHUB_LFS] = Served(reply=objects_of(publisher))
    content = crema_d["AudioWAV/1001_DFA_ANG_XX.wav"]
    publisher.paths[f"/objects/{hashlib.sha256(content).hexdigest()}"].cuts = [100]
    report, told = bring("crema_d", publisher)
    assert raw("crema_d") == crema_d | TABLES
    assert len(report.clips) == 150
    assert report.clips[0].age == 51
    assert "no checksum is published for CREMA-D.zip" in told
    assert "objects: 148, 0.1 MB" in told
    batches = publisher.asked_for(GITHUB_LFS)
    assert len(batches) == 2
    assert batches[0]["Accept"] == batches[0]["Content-Type"] == "application/vnd.git-lfs+json"
    fetched = [headers for _, path, headers in publisher.asked if path.startswith("/objects/")]
    assert len(fetched) == 149
    assert {headers["Authorization"] for headers in fetched} == {"RemoteAuth 1"}


def test_crema_d_from_its_mirror_once_github_sends_no_more(checkout, publisher, crema_d):
    over = b'{"message": "This repository exceeded its LFS budget."}'
    publisher.paths[GITHUB_LFS] = Served(over, status=403)
    publisher.paths[GITLAB_LFS] = Served(reply=objects_of(publisher))
    _, told = bring("crema_d", publisher)
    assert raw("crema_d") == crema_d | TABLES
    assert "HTTP 403 Forbidden: This repository exceeded its LFS budget." in told
    assert f"trying {publisher.url}/cs-cooper-lab/crema-d-mirror.git/info/lfs instead" in told


def test_crema_d_interrupted_among_its_objects(checkout, publisher, crema_d):
    last = max(hashlib.sha256(content).hexdigest() for content in crema_d.values())
    publisher.paths[GITHUB_LFS] = Served(reply=objects_of(publisher, lacking=last))
    with pytest.raises(Unavailable, match="HTTP 404"):  # of the mirror, which was asked for the one that GitHub lacks
        bring("crema_d", publisher)
    assert not (checkout / "data/raw/crema_d").exists()
    assert not (checkout / ".emodag/downloads/crema_d/unpacked").exists()
    there = len(list((checkout / ".emodag/downloads/crema_d/objects").iterdir()))
    assert there == 100  # the first batch
    publisher.asked.clear()
    publisher.paths[GITHUB_LFS] = Served(reply=objects_of(publisher))
    bring("crema_d", publisher)
    assert raw("crema_d") == crema_d | TABLES
    assert sum(path.startswith("/objects/") for _, path, _ in publisher.asked) == 48
    assert publisher.asked_for(SNAPSHOT) == []


def test_crema_d_with_an_object_that_is_another(checkout, publisher, crema_d):
    publisher.paths[GITHUB_LFS] = Served(reply=objects_of(publisher))
    content = crema_d["AudioWAV/1003_DFA_ANG_XX.wav"]
    publisher.paths[f"/objects/{hashlib.sha256(content).hexdigest()}"].content = content[::-1]
    with pytest.raises(CorpusError, match=r"its sha256 is .*, its publisher states"):
        bring("crema_d", publisher)
    assert not (checkout / "data/raw/crema_d").exists()


def test_an_object_at_an_address_that_is_not_safe(checkout, publisher, crema_d):
    elsewhere = Publisher("http://example.invalid")
    publisher.paths[GITHUB_LFS] = publisher.paths[GITLAB_LFS] = Served(reply=objects_of(elsewhere))
    with pytest.raises(Unavailable, match="accepted: https"):
        bring("crema_d", publisher)


def test_an_object_that_leaves_https(publisher, secure_publisher):
    secure_publisher.paths["/lfs/objects/batch"] = Served(reply=objects_of(publisher))
    batches = lfs_objects(Session(patience=0), f"{secure_publisher.url}/lfs", [Pointer("0" * 64, 3)])
    with pytest.raises(Unavailable, match=f"leads to {publisher.url}/objects/0+; accepted: https"):
        next(batches)


# --- what cannot be fetched, and the command


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ravdes", "did you mean 'ravdess'"),
        ("iemocap", "Accepted: ravdess, crema_d, tess, emodb; with instructions: savee, esd"),
        ("demo_en", "made by the synthesize stage"),
    ],
)
def test_names_that_cannot_be_fetched(checkout, publisher, name, said):
    with pytest.raises(CorpusError, match=said):
        bring(name, publisher)


def test_outside_a_checkout_nothing_is_asked(checkout, publisher, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/params.yaml").write_bytes((checkout / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match="not inside of a DVC repository"):
        bring("ravdess", publisher)
    assert publisher.asked == []


def test_every_published_corpus_can_be_fetched_or_has_instructions():
    published = {name for name in REGISTRY if not name.startswith("demo")}
    assert published == set(SOURCES) | set(fetching.BY_REGISTRATION)


def emodag(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from emodag.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("name", "said"), [("savee", "http://kahlan.eps.surrey.ac.uk/savee/Download.html"), ("esd", "licence form")]
)
def test_instructions_end_with_status_2(checkout, name, said):
    done = emodag("corpora", "fetch", name, "--yes")
    assert (done.returncode, done.stderr) == (2, "")
    assert said in done.stdout
    assert f"emodag corpora add {name} {name}" in done.stdout
    with pytest.raises(RegistrationNeeded):
        fetch(name, accept=accepted)


def test_without_a_terminal_the_licence_needs_an_option(checkout):
    done = emodag("corpora", "fetch", "ravdess", stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "licence: CC BY-NC-SA 4.0" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "ravdess: there is nobody here to accept the licence; --yes accepts it"
    )  # fmt: skip
    assert not (checkout / ".emodag").exists()


def test_at_a_terminal_the_licence_is_asked_about(checkout):
    reader, terminal = pty.openpty()
    command = [sys.executable, "-c", "from emodag.cli import main; main()", "corpora", "fetch", "ravdess"]
    process = subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.write(reader, b"n\n")
    said, error = process.communicate(timeout=60)
    os.close(reader)
    os.close(terminal)
    assert "Do you accept the licence? [y/N]" in said
    assert process.returncode == 1
    assert error == "error: ravdess: the licence was not accepted; nothing was fetched\n"
    assert not (checkout / ".emodag").exists()


def test_a_killed_fetch_goes_on_where_it_stopped(checkout, publisher):
    files = actors(20)
    content = zipped(files)
    on_zenodo(publisher, RAVDESS, **{"Audio_Speech_Actors_01-24__zip": content})
    served = publisher.paths[SPEECH]
    served.held_after = 600_000
    code = (
        "from emodag.collection.fetching import fetch\n"
        "from emodag.collection.sources import Servers\n"
        f"fetch('ravdess', accept=print, servers=Servers(*['{publisher.url}'] * 6))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    growing = checkout / ".emodag/downloads/ravdess/files/Audio_Speech_Actors_01-24.zip.incomplete"
    try:
        deadline = time.monotonic() + 60
        while not growing.exists() or growing.stat().st_size < 300_000:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
        served.go_on.set()
    there = growing.stat().st_size
    assert growing.read_bytes() == content[:there]
    served.held_after = None
    publisher.asked.clear()
    bring("ravdess", publisher)
    assert raw("ravdess") == files
    assert [headers["Range"] for headers in publisher.asked_for(SPEECH)] == [f"bytes={there}-"]
