# SPDX-License-Identifier: MIT
"""Frames of WebSockets, byte for byte: alone, together, in pieces, and such as break the rules."""

import base64
import contextlib
import os
import socket
import struct

import pytest

import envring
from support.processes import wait_until

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
pytest.importorskip("websockets", reason="the wires over HTTP stay unchecked")

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
ASK = b'{"type":"state"}'


@pytest.fixture(scope="module")
def host():
    with envring.serve("CartPole-v1", listen="http://127.0.0.1:0") as host:
        yield host


class Caller:
    """A WebSocket that sends what it is told to."""

    def __init__(self, host, path="/ws"):
        name, port = host.url.removeprefix("http://").split(":")
        self.sock = socket.create_connection((name, int(port)), timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self._more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def _more(self):
        found = self.sock.recv(1 << 16)
        assert found, "the connection has ended"
        self.data += found

    def _take(self, count):
        while len(self.data) < count:
            self._more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def send(self, *parts):
        """Sends all parts at once."""
        self.sock.sendall(b"".join(parts))

    def frame(self):
        """The next frame: its opcode and what it holds."""
        first, length = self._take(2)
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
        assert first & 0xF0 == 0x80, first
        return first & 0xF, self._take(length)

    def is_answered(self):
        kind, text = self.frame()
        return kind == TEXT and b"step_count" in text

    def code(self):
        """That of the close frame."""
        kind, text = self.frame()
        assert kind == CLOSE, (kind, text)
        return struct.unpack(">H", text[:2])[0]


@pytest.fixture
def caller(host):
    made = Caller(host)
    with contextlib.closing(made.sock):
        yield made
    wait_until(lambda: not len(host.sessions), 20, "its session has ended")


def masked(data, kind=TEXT, fin=True, mask=b"\x01\x02\x03\x04", reserved=0):
    """A frame of a caller."""
    size = len(data)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    body = bytes(each ^ mask[n % 4] for n, each in enumerate(data))
    return bytes((0x80 * fin | reserved | kind,)) + length + mask + body


def padded(size):
    return ASK + b" " * (size - len(ASK))


class TestMessages:
    @pytest.mark.parametrize("size", [16, 125, 126, 127, 65535, 65536, 70_000])
    def test_of_every_length(self, caller, size):
        for _ in range(2):
            caller.send(masked(padded(size)))
            assert caller.is_answered()

    def test_several_at_once(self, caller):
        caller.send(masked(ASK), masked(ASK), masked(ASK))
        assert all(caller.is_answered() for _ in range(3))
        caller.send(masked(ASK))
        assert caller.is_answered()

    @pytest.mark.parametrize("cut", [1, 2, 5, 6, 10, 21])
    def test_in_two_pieces(self, caller, cut):
        frame = masked(ASK)
        for _ in range(2):
            caller.send(frame[:cut])
            caller.send(frame[cut:])
            assert caller.is_answered()

    def test_byte_by_byte(self, caller):
        for byte in masked(ASK):
            caller.send(bytes((byte,)))
        assert caller.is_answered()

    def test_of_fragments_with_a_ping_between(self, caller):
        caller.send(masked(ASK))
        assert caller.is_answered()
        caller.send(masked(ASK[:4], fin=False))
        caller.send(masked(b"?", PING))
        caller.send(masked(b"", 0, fin=False))
        caller.send(masked(ASK[4:], 0))
        assert caller.frame() == (PONG, b"?")
        assert caller.is_answered()

    def test_pings_and_pongs(self, caller):
        caller.send(masked(b"a", PING))
        assert caller.frame() == (PONG, b"a")
        caller.send(masked(b"nobody asked", PONG))
        caller.send(masked(ASK))
        assert caller.is_answered()

    def test_of_bytes(self, caller):
        caller.send(masked(ASK, BINARY))
        assert caller.is_answered()

    def test_that_are_empty(self, caller):
        caller.send(masked(b""))
        assert b"INVALID_JSON" in caller.frame()[1]

    def test_a_close_is_confirmed(self, caller):
        caller.send(masked(struct.pack(">H", 1000), CLOSE))
        assert caller.code() == 1000
        assert caller.sock.recv(1) == b""


class TestBrokenRules:
    """Each closes its connection with a code; the host goes on."""

    @pytest.mark.parametrize("before", [0, 1])  # messages that came well
    @pytest.mark.parametrize(
        ("code", "frame"),
        [
            (1002, b"\x81\x10" + ASK),  # without a mask
            (1002, masked(ASK, reserved=0x40)),  # compressed, which was not agreed
            (1002, masked(ASK, reserved=0x10)),
            (1002, masked(ASK, kind=0x3)),
            (1002, masked(ASK, kind=0xB)),
            (1002, masked(ASK, 0)),  # goes on with nothing
            (1002, masked(ASK, fin=False) + masked(ASK)),  # begins another one
            (1002, masked(b"x" * 126, PING)),
            (1002, masked(b"?", PING, fin=False)),
            (1002, masked(b"\x03", CLOSE)),
            (1007, masked(b"\xff\xfe")),
            (1007, masked(b"\xed\xa0\x80")),  # half of a pair
            (1007, masked(b"\xe2\x82", fin=False) + masked(b"!", 0)),
            (1009, b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4)),
            (1009, b"\x81\xff" + ((1 << 24) + 1).to_bytes(8, "big") + bytes(4)),
        ],
    )
    def test_it_is_closed_with_a_code(self, caller, code, frame, before):
        for _ in range(before):
            caller.send(masked(ASK))
            assert caller.is_answered()
        caller.send(frame)
        assert caller.code() == code

    def test_nothing_more_is_said_after_a_close(self, caller):
        caller.send(masked(struct.pack(">H", 1000), CLOSE), masked(ASK))
        assert caller.code() == 1000
        with contextlib.suppress(ConnectionError):
            assert caller.sock.recv(100) == b""


class TestHalfOpen:
    def test_a_caller_that_only_stops_to_send_is_given_up(self, host, caller):
        caller.send(masked(ASK))
        assert caller.is_answered()
        caller.sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: not len(host.sessions), 20, "its session has ended")

    def test_a_caller_that_is_silent_is_asked_and_given_up(self, host, monkeypatch):
        monkeypatch.setattr("envring.gateways.web.lines._PING_SECONDS", 0.3)
        made = Caller(host)
        with contextlib.closing(made.sock):
            assert made.frame() == (PING, b"")
            assert made.code() == 1011
        wait_until(lambda: not len(host.sessions), 20, "its session has ended")

    def test_a_caller_that_answers_pings_stays(self, host, monkeypatch):
        monkeypatch.setattr("envring.gateways.web.lines._PING_SECONDS", 0.2)
        made = Caller(host)
        with contextlib.closing(made.sock):
            for _ in range(3):
                assert made.frame() == (PING, b"")
                made.send(masked(b"", PONG))
            made.send(masked(ASK))
            assert made.is_answered()

    def test_a_caller_that_does_not_read_is_given_up(self, host, monkeypatch):
        monkeypatch.setattr("envring.gateways.web.lines._SEND_SECONDS", 0.3)
        made = Caller(host)
        with contextlib.closing(made.sock):
            made.sock.settimeout(0.5)
            with contextlib.suppress(TimeoutError, ConnectionError):
                while True:  # the answers fill all that lies between
                    made.send(masked(ASK) * 500)
            wait_until(lambda: not len(host.sessions), 20, "its session has ended")
