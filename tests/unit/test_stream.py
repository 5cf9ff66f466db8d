# SPDX-License-Identifier: MIT
"""Streams whose receives sleep, for the short way through steps: their methods do not."""

from __future__ import annotations

import socket
import time

import pytest

from envring.transport.stream import Stream


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    stream = Stream(ours)
    assert stream.sleep_in_receives(30.5) == 30_500_000_000
    yield stream, theirs
    stream.close()
    theirs.close()


def test_reading_ends_in_time(ends):
    stream, theirs = ends
    began = time.monotonic()
    for parts in (1, 2):
        views = [memoryview(bytearray(8)) for _ in range(parts)]
        with pytest.raises(TimeoutError):
            stream.read_into(views, time.monotonic() + 0.05)
        theirs.send(b"12345678")
        assert stream.read_into(views, time.monotonic() + 5) == 8
    assert not stream.can_read()
    assert time.monotonic() - began < 10


def test_sending_does_not_wait_for_room(ends):
    stream, _ = ends
    began = time.monotonic()
    assert not stream.send_now([memoryview(bytes(1 << 24))])
    assert time.monotonic() - began < 10


def test_a_receive_of_the_descriptor_ends_by_itself(ends):
    stream, _ = ends
    stream.sleep_in_receives(0.05)
    began = time.monotonic()
    with socket.fromfd(stream.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as same:
        same.setblocking(True)
        with pytest.raises(BlockingIOError):
            same.recv(1)
    assert 0.04 < time.monotonic() - began < 10
