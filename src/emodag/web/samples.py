"""How live clients may send samples; without numpy, so that the process that speaks HTTP may know it."""

from __future__ import annotations

from typing import NamedTuple


class Encoding(NamedTuple):
    """One channel of samples."""

    kind: str  #: as numpy calls it
    full_scale: float  #: what the loudest sample is


ENCODINGS = {"s16le": Encoding("<i2", 32768.0), "f32le": Encoding("<f4", 1.0)}

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz

#: What is accepted, for people.
ACCEPTED = (
    f"/api/live?rate=48000&encoding=s16le, with {LOWEST_RATE} to {HIGHEST_RATE} Hz and one of {', '.join(ENCODINGS)}"
)


def is_rate(value: str) -> bool:
    """Whether a text is a rate that is accepted."""
    return value.isascii() and value.isdecimal() and LOWEST_RATE <= int(value[:9]) <= HIGHEST_RATE
