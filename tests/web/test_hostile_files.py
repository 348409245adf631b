"""Files that are damaged, disguised or made to do harm: each gets an answer, and nothing remains of it.

``EMODAG_MUTATIONS=1000`` tries as many instead of the few hundred that a test run can afford.
"""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
import soundfile

from emodag.web import answers

MUTATIONS = int(os.environ.get("EMODAG_MUTATIONS", "240"))
KINDS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "webm", "aac", "aiff")
LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NAMES = ("a.wav", "a.mp3", "a.txt", "a", "../../a.wav", "a\x00.wav", "ä" * 300 + ".ogg", "a.m3u8", "con", "")


def flipped(content, rng, end):
    """Some bytes before ``end`` are others."""
    changed = bytearray(content)
    for place in rng.integers(0, min(end, len(content)), rng.integers(1, 9)):
        changed[place] = rng.integers(256)
    return bytes(changed)


def header(content, rng, _others):
    return flipped(content, rng, 64)


def anywhere(content, rng, _others):
    return flipped(content, rng, len(content))


def truncated(content, rng, _others):
    return content[: rng.integers(0, len(content))]


def lengths(content, rng, _others):
    """A number in the head is another, of two bytes, four or eight, in either order."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        form = rng.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"])
        size = struct.calcsize(form)
        place = int(rng.integers(0, min(len(content), 200) - size))
        changed[place : place + size] = struct.pack(form, int(rng.choice(LENGTHS)) % 2 ** (8 * size))
    return bytes(changed)


def repeated(content, rng, _others):
    first, last = np.sort(rng.integers(0, len(content), 2))
    return content[:last] + content[first:last] + content[last:]


def cut_out(content, rng, _others):
    first, last = np.sort(rng.integers(4, len(content), 2))
    return content[:first] + content[last:]


def polyglot(content, rng, others):
    """The head of one format, the body of another."""
    other = others[rng.integers(len(others))]
    place = int(rng.integers(4, 200))
    return content[:place] + other[place:]


def followed(content, rng, _others):
    """An archive, a page or noise behind the sound."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../evil", b"x" * 1000)
    page = b"<html><script>alert(1)</script></html>"
    return content + (archive.getvalue(), page, rng.bytes(5000))[rng.integers(3)]


MUTATE = (header, anywhere, truncated, lengths, repeated, cut_out, polyglot, followed)


@pytest.fixture(scope="module")
def originals(encoded):
    return [encoded(kind) for kind in KINDS]


def asked(service, content, name, path="/process_audio"):
    """The answer, which has to come in time."""
    response = requests.post(service.url + path, files={"file": (name or None, content)}, timeout=30)
    assert response.status_code < 500, (path, response.text, service.log()[-3:])
    if response.status_code == 200:
        if path == "/process_audio":
            answers.Processed.model_validate(response.json())
    else:
        assert 400 <= response.status_code < 500
        assert answers.Refusal.model_validate(response.json()).error.accepted
    return response.status_code


def test_damaged_files_are_answered_or_refused_and_leave_nothing(service, originals):
    def one(number):
        rng = np.random.default_rng(number)
        content = MUTATE[number % len(MUTATE)](originals[number % len(originals)], rng, originals)
        return asked(service, content, NAMES[number % len(NAMES)], "/api/predict" if number % 2 else "/process_audio")

    asked(service, originals[0], "a.wav")
    before = [process.num_fds() for process in service.processes()[:2]]
    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(one, range(MUTATIONS)))
    assert 200 in statuses  # much of a damaged file can be read
    assert {415, 422} & set(statuses)
    assert not list((service.folder / "tmp").iterdir())
    time.sleep(0.2)
    after = [process.num_fds() for process in service.processes()[:2]]
    assert all(now <= then + 3 for now, then in zip(after, before, strict=True))
    assert len(service.processes()) == 4


def test_some_damaged_files_are_analysed(service, originals):
    rng = np.random.default_rng(0)
    for number, mutate in enumerate((header, truncated, lengths)):
        asked(service, mutate(originals[number], rng, originals), "a.wav", "/api/analyze")


def flac(samples, rate):
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="FLAC")
    return content.getvalue()


def wav_header(channels, rate, bits, promised, there):
    size = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * size) % 2**32, size % 2**16, bits)
    head = b"RIFF" + struct.pack("<I", (36 + promised) % 2**32) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", promised) + bytes(there)


BOMBS = {
    "hours of silence": lambda: flac(np.zeros(16_000 * 1800, np.int16), 16_000),
    "silence in eight channels at 655 kHz": lambda: flac(np.zeros((655_350 * 4, 8), np.int16), 655_350),
    "one sample a second": lambda: wav_header(1, 1, 16, 200_000, 200_000),
    "a rate of 4 GHz": lambda: wav_header(1, 2**32 - 1, 16, 200_000, 200_000),
    "a rate of nothing": lambda: wav_header(1, 0, 16, 2_000, 2_000),
    "a thousand channels": lambda: wav_header(1000, 16_000, 16, 2_000_000, 2_000_000),
    "65535 channels": lambda: wav_header(65_535, 16_000, 16, 2_000_000, 2_000_000),
    "no channel": lambda: wav_header(0, 16_000, 16, 2_000, 2_000),
    "4 GB that are not there": lambda: wav_header(1, 16_000, 16, 2**32 - 1, 2_000),
    "a zip bomb": lambda: gzip.compress(bytes(2_000_000)),
    "only a head": lambda: b"RIFF\x00\x00\x00\x00WAVE",
    "boxes without end": lambda: b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x08moov" * 100_000,
    "EBML without end": lambda: b"\x1aE\xdf\xa3" + b"\xff" * 100_000,
    "Ogg pages without end": lambda: (b"OggS" + bytes(23)) * 50_000,
    "MPEG frames of nothing": lambda: b"\xff\xfb\x90\x00" * 500_000,
    "nested ID3 tags": lambda: b"ID3\x04\x00\x00\x00\x00\x00\x0a" * 100_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_or_answered_in_time(service, bomb):
    asked(service, BOMBS[bomb](), "a.wav")


@pytest.mark.parametrize(
    "start", [b"", b"ID3\x04\x00\x00\x00\x00\x00\x00", b"\xff\xfb\x90\x00", b"RIFF\x00\x00\x00\x00WAVE"]
)
@pytest.mark.parametrize("form", ["hls", "concat", "sdp", "dash"])
def test_files_that_name_others_reach_nothing(service, start, form):
    """Formats that FFmpeg would follow to other files and addresses, bare and behind the start of a recording."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.05)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/a.ts"
        content = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXTINF:1,\nfile:///etc/passwd\n",
            "concat": f"ffconcat version 1.0\nfile '{address}'\nfile '/etc/passwd'\n",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
            "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{address}</BaseURL>',
        }[form]
        assert asked(service, start + content.encode() * 3, "a.mp3") in (413, 415, 422)
        with pytest.raises(TimeoutError):
            trap.accept()
