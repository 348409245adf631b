"""What an upload is, by its first bytes: neither its name nor the type that it claims is asked.

Only these are decoded. FFmpeg knows formats that name other files or addresses to read (playlists, lists of parts),
and no upload may reach those.
"""

from __future__ import annotations

#: How many bytes :func:`kind_of` looks at.
HEAD = 16

#: What people are told is accepted.
ACCEPTED = "wav, flac, mp3, m4a, ogg, opus, webm, aac, aiff, au, caf, amr, wma"

_STARTS = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"\x1aE\xdf\xa3": "webm",
    b".snd": "au",
    b"caff": "caf",
    b"#!AMR": "amr",
    b"riff\x2e\x91\xcf\x11": "w64",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "wma",
}
_CHUNKS = {(b"RIFF", b"WAVE"): "wav", (b"RIFX", b"WAVE"): "wav", (b"RF64", b"WAVE"): "wav"}
_CHUNKS |= {(b"FORM", b"AIFF"): "aiff", (b"FORM", b"AIFC"): "aiff"}
#: The first box of an ISO base media file, and of older QuickTime files, which have no ``ftyp``.
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide"})


def kind_of(head: bytes) -> str | None:
    """The container of a recording by its first :data:`HEAD` bytes; nothing if it is none that is accepted."""
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if kind := _CHUNKS.get((head[:4], head[8:12])):
        return kind
    if head[4:8] in _BOXES:
        return "m4a"
    return _kind_of_frame(head)


def _kind_of_frame(head: bytes) -> str | None:
    """MPEG audio without a container: eleven bits set, then a header in which not every value has a meaning.

    Layer I is left out: nobody uses it, and texts in UTF-16 begin so.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return "mp3" if version != 1 and layer in (1, 2) and bitrate not in (0, 15) and rate != 3 else None
