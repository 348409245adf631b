"""What the service and its workers say to each other."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from emodag.web import wire
from emodag.web.wire import BrokenMessage, Message

MESSAGES = [
    Message({}),
    Message({"job": "predict", "name": "ä.wav"}, bytes(range(256)) * 300),
    Message({"a": [1, None]}),
]


def test_messages_arrive_as_they_were_sent():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in MESSAGES:
            wire.send(ours, message)
            assert wire.receive(theirs) == message
        ours.close()
        assert wire.receive(theirs) is None


def test_a_stream_reads_the_same_messages():
    async def read_all(content):
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        return [await wire.read(reader) for _ in MESSAGES]

    content = b"".join(part for message in MESSAGES for part in wire.packed(message))
    assert asyncio.run(read_all(content)) == MESSAGES


@pytest.mark.parametrize(
    "content",
    [
        b"\x00",
        struct.pack("!IQ", 2, 0) + b"{",
        struct.pack("!IQ", 2, 9) + b"{}1234",
        struct.pack("!IQ", 3, 0) + b"{,}",
        struct.pack("!IQ", 2, 0) + b"[]",
        struct.pack("!IQ", 2**32 - 1, 0),
        struct.pack("!IQ", 2, 2**63),
    ],
    ids=["cut length", "cut header", "cut content", "no JSON", "no object", "long header", "long content"],
)
def test_what_is_no_message_is_told(content):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(content)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenMessage):
            wire.receive(theirs)

    async def read():
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        await wire.read(reader)

    with pytest.raises(BrokenMessage):
        asyncio.run(read())
