"""What uploads are taken for."""

from __future__ import annotations

import pytest

from emodag.web.sniffing import HEAD, kind_of

KINDS = {
    "wav": "wav",
    "flac": "flac",
    "mp3": "mp3",
    "ogg": "ogg",
    "opus": "ogg",
    "m4a": "m4a",
    "webm": "webm",
    "aac": "aac",
    "aiff": "aiff",
    "au": "au",
    "caf": "caf",
}


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_are_known_by_their_start(encoded, kind):
    content = encoded(kind)
    assert kind_of(content) == KINDS[kind]
    assert kind_of(content[:HEAD]) == KINDS[kind]


@pytest.mark.parametrize(
    "content",
    [b"", b"R", b"RIFF\x00\x00\x00\x00AVI LIST", b"#EXTM3U\n", b"ffconcat version 1.0", b"PK\x03\x04", b"%PDF-1.7",
     b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\xff\xff\xff\xff", b"\xff\xfe a UTF-16 text",
     b"<?xml version", b"version https://git-lfs.github.com"],
)  # fmt: skip
def test_nothing_else_is_taken_for_one(content):
    assert kind_of(content) is None
