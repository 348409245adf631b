"""How the service and its workers talk: a JSON header, then raw bytes, with the lengths of both in front.

Nothing is pickled: a worker that an upload has taken over can send wrong answers, but no code.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any, NamedTuple

_LENGTHS = struct.Struct("!IQ")

#: What either side takes, in bytes: a timeline of hours as JSON, and an upload of any permitted size.
_LARGEST_HEADER, _LARGEST_CONTENT = 1 << 26, 1 << 32


class Message(NamedTuple):
    """What is sent at once."""

    header: dict[str, Any]
    content: bytes = b""


class BrokenMessage(Exception):
    """The other side sent what is no message, or ended in the middle of one."""


def compact(header: dict[str, Any]) -> bytes:
    """A header as JSON."""
    return json.dumps(header, ensure_ascii=False, allow_nan=False).encode()


def parsed(content: bytes) -> dict[str, Any]:
    """A header of JSON.

    Raises:
        BrokenMessage: it is none.
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        raise BrokenMessage(f"the header is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BrokenMessage("the header is no JSON object")
    return found


def packed(message: Message) -> list[bytes]:
    """A message as bytes to send one after the other."""
    header = compact(message.header)
    return [_LENGTHS.pack(len(header), len(message.content)) + header, message.content]


def _lengths(start: bytes) -> tuple[int, int]:
    header, content = _LENGTHS.unpack(start)
    if header > _LARGEST_HEADER or content > _LARGEST_CONTENT:
        raise BrokenMessage(f"{header} bytes of header and {content} of content are announced")
    return header, content


def send(connection: socket.socket, message: Message) -> None:
    """Send a message over a blocking socket."""
    for part in packed(message):
        connection.sendall(part)


def receive(connection: socket.socket) -> Message | None:
    """The next message of a blocking socket; nothing if the other side has closed it.

    Raises:
        BrokenMessage: what comes is no message.
    """
    start = _exactly(connection, _LENGTHS.size)
    if not start:
        return None
    header, content = _lengths(start)
    return Message(parsed(bytes(_exactly(connection, header))), bytes(_exactly(connection, content)))


def _exactly(connection: socket.socket, count: int) -> bytearray:
    """So many bytes; none if the other side has closed the socket before the first."""
    found = bytearray(count)
    place = memoryview(found)
    filled = 0
    while filled < count:
        taken = connection.recv_into(place[filled:])
        if not taken:
            if filled:
                raise BrokenMessage(f"closed after {filled} of {count} bytes")
            return bytearray()
        filled += taken
    return found


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message of a stream.

    Raises:
        BrokenMessage: what comes is no message, or the other side has closed.
    """
    try:
        header, content = _lengths(await reader.readexactly(_LENGTHS.size))
        return Message(parsed(await reader.readexactly(header)), await reader.readexactly(content))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise BrokenMessage(str(error)) from None
