# SPDX-License-Identifier: MIT
"""A thread that answers a caller on this machine goes to the CPU that the caller sends from."""

import contextlib
import http.client
import json
import os
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest

import envring
from envring.core import _core

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
pytest.importorskip("msgpack", reason="the wires over HTTP stay unchecked")
client = pytest.importorskip("websockets.sync.client")
lines = pytest.importorskip("envring.gateways.web.lines")

STEPS = 20
PAUSE = 0.008  # seconds between moves that do not last


def cpu():
    """The CPU that this thread is on."""
    stat = Path("/proc/thread-self/stat").read_text(encoding="ascii")
    return int(stat.rpartition(")")[2].split()[36])


class TestFollowing:
    def test_goes_to_the_peer(self):
        allowed = os.sched_getaffinity(0)
        if len(allowed) < 2:
            pytest.skip("there is one CPU")
        ours, theirs = sorted(allowed)[:2]
        server = socket.create_server(("127.0.0.1", 0))
        caller = socket.create_connection(server.getsockname())
        answerer, _ = server.accept()

        def call():
            os.sched_setaffinity(0, {theirs})
            with contextlib.suppress(ConnectionError):  # the other end closes when it has enough
                while caller.send(b".") and caller.recv(1):
                    pass

        def answer():
            following = _core.Following(answerer.fileno())
            for _ in range(2000):
                # the kernel may move a thread, too: it stays up to the look
                os.sched_setaffinity(0, {ours})
                answerer.recv(1)
                os.sched_setaffinity(0, allowed)
                before = cpu()
                following.look()
                moves.append((before, cpu()))
                answerer.send(b".")
            answerer.close()

        moves = []
        begun = time.monotonic()
        threads = [threading.Thread(target=each) for each in (call, answer)]
        with server, caller:
            for each in threads:
                each.start()
            for each in threads:
                each.join(60)
        assert len(moves) == 2000
        # a move that does not last makes the next one wait, up to eight milliseconds
        longest = (time.monotonic() - begun) / PAUSE
        assert 2 <= moves.count((ours, theirs)) <= 6 + longest


class Looks:
    """In place of `Following`: counts."""

    made = ()

    def __init__(self, fd):
        self.looks = 0
        self.made.append(self)

    def look(self):
        self.looks += 1


@pytest.fixture
def looks(monkeypatch):
    monkeypatch.setattr(lines._core, "Following", Looks)
    monkeypatch.setattr(Looks, "made", [])
    return Looks.made


@pytest.fixture(scope="module")
def host():
    with envring.serve("CartPole-v1", listen="http://127.0.0.1:0") as host:
        with urllib.request.urlopen(f"{host.url}/v1/envs/", timeout=20):
            pass  # now it has the thread that it keeps for such calls
        yield host


def over_websocket(host, source):
    url = f"{host.url.replace('http', 'ws')}/ws"
    with client.connect(url, proxy=None, compression=None, source_address=(source, 0)) as socket:
        for _ in range(STEPS):
            socket.send('{"type":"state"}')
            assert "step_count" in socket.recv()


def over_http(host, source):
    address = host.url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=20, source_address=(source, 0))
    for _ in range(STEPS + 1):  # the first is answered by the event loop
        connection.request("GET", "/v1/envs/")
        with connection.getresponse() as response:
            assert json.loads(response.read()) == {"all_envs": {}}
    connection.close()


@pytest.mark.parametrize("talk", [over_websocket, over_http])
class TestLines:
    def test_of_a_caller_on_this_machine_follow(self, host, looks, talk):
        talk(host, "127.0.0.1")
        (made,) = looks
        assert STEPS - 1 <= made.looks <= STEPS

    def test_of_another_do_not(self, host, looks, talk):
        talk(host, "127.0.0.2")
        assert not looks
