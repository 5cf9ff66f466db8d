# SPDX-License-Identifier: MIT
"""The control channel, when the peer sends what no worker of ours sends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from envring.errors import CodecError, HandshakeError
from envring.transport import channel
from envring.transport.channel import DATA, MAX_MESSAGE, Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = Channel.pair(DATA)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_message_that_is_too_long(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(struct.pack("<Q", MAX_MESSAGE + 1))
    with pytest.raises(CodecError, match=str(MAX_MESSAGE + 1)):
        ours.receive(5.0)


@pytest.mark.parametrize("size", [1, 1 << 16])
def test_the_deadline_counts_while_bytes_keep_coming(
    ends: tuple[Channel, socket.socket], size: int
) -> None:
    ours, theirs = ends
    theirs.sendall(struct.pack("<Q", MAX_MESSAGE))
    stop = threading.Event()
    looks = []

    def send() -> None:
        while not stop.wait(0.002):
            theirs.sendall(b"x" * size)

    thread = threading.Thread(target=send)
    thread.start()
    start = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            ours.receive(0.2, lambda: looks.append(1))
        assert time.monotonic() - start < 0.2 + channel._SLACK + 10
    finally:
        stop.set()
        thread.join()
    assert looks, "nobody looked whether the worker lives"


def test_noise_without_end(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends

    def send() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            theirs.sendall(b"x" * (1 << 22))

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(HandshakeError, match="before any message"):
        ours.skip_to(b"magic", 20.0)
    ours.close()
    thread.join()
