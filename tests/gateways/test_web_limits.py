# SPDX-License-Identifier: MIT
"""Limits of a host that hold for callers over HTTP and WebSockets, too."""

import asyncio
import contextlib
import http.client
import json
import threading
import urllib.request

import pytest

import envring
from envring.gateways.runtimes import Runtime
from envring.gateways.web import calls
from support.processes import wait_until

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
pytest.importorskip("msgpack", reason="the wires over HTTP stay unchecked")
websockets = pytest.importorskip("websockets.sync.client")
InvalidStatus = pytest.importorskip("websockets.exceptions").InvalidStatus

LISTEN = "http://127.0.0.1:0"
SPIN = "envring.bench.workloads.synthetic:SpinEnv"


class Line:
    """A connection that is kept."""

    def __init__(self, host):
        self.line = http.client.HTTPConnection(host.url.removeprefix("http://"), timeout=20)

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body)
        self.line.request("GET" if body is None else "POST", path, data)
        with self.line.getresponse() as response:
            return response.status, response.read()


@pytest.fixture(scope="module")
def host():
    spins = Runtime("spins", (SPIN,), kwargs={"seconds": 60.0})
    with envring.serve(runtimes=[spins], listen=LISTEN, max_connections=3) as host:
        with urllib.request.urlopen(f"{host.url}/schema", timeout=20):
            pass  # now it has the thread that it keeps for such calls
        yield host


@pytest.fixture
def lines():
    with contextlib.ExitStack() as stack:

        def connect(host):
            line = Line(host)
            stack.callback(line.line.close)
            return line

        yield connect


class TestConnections:
    def test_those_of_requests_are_counted(self, host, lines):
        kept = [lines(host) for _ in range(3)]
        for requests in range(3):  # by the second request a connection gets a thread
            for line in kept:
                assert line.ask("/health")[0] == 200
            assert host.num_connections == 3, requests
        late = lines(host)
        status, text = late.ask("/health")
        assert (status, b"too many connections" in text) == (503, True)
        with pytest.raises(InvalidStatus, match="503"):
            connect(host)
        assert all(line.ask("/health")[0] == 200 for line in kept)
        kept[0].line.close()
        wait_until(lambda: host.num_connections == 2, 5, "one has ended")
        assert late.ask("/health")[0] == 200  # over another connection

    def test_those_of_websockets_are_counted_once(self, host, lines):
        wait_until(lambda: host.num_connections == 0, 5, "all have ended")
        with connect(host), connect(host), connect(host):
            assert host.num_connections == 3
            with pytest.raises(InvalidStatus, match="503"):
                connect(host)
            assert lines(host).ask("/health")[0] == 503
        wait_until(lambda: host.num_connections == 0, 5, "all have ended")
        with connect(host):
            assert host.num_connections == 1


def connect(host):
    return websockets.connect(f"{host.url.replace('http', 'ws', 1)}/gym", proxy=None)


class TestCallsWithoutEnd:
    """Callers of requests may be gone: nobody would ever end what they had begun."""

    @pytest.fixture(autouse=True)
    def short(self, monkeypatch):
        monkeypatch.setattr("envring.gateways.web.instances.CALL_SECONDS", 0.3)

    def steps(self, host, lines, wire):
        """Makes an env and steps it."""
        line = lines(host)
        if wire == "gym-http-api":
            name = json.loads(line.ask("/v1/envs/", {"env_id": SPIN})[1])["instance_id"]
            line.ask(f"/v1/envs/{name}/reset/", {})
            return line.ask(f"/v1/envs/{name}/step/", {"action": 0})
        if wire == "Remote Gymnasium":
            line.ask("/make", {"env_key": "k", "env_id": SPIN})
            line.ask("/reset", {"env_key": "k"})
            return line.ask("/step", {"env_key": "k", "action": 0})
        return line.ask("/step", {"action": {"value": 0}})

    @pytest.mark.parametrize("wire", ["gym-http-api", "Remote Gymnasium", "OpenEnv"])
    def test_they_are_ended(self, host, lines, wire):
        status, text = self.steps(host, lines, wire)
        assert status in (400, 500) and b"did not finish a step within 0.3 seconds" in text
        assert host.sessions.used() == 0


def test_threads_that_nobody_needs_end(monkeypatch):
    monkeypatch.setattr(calls, "_IDLE_SECONDS", 0.1)
    before = threading.active_count()

    async def work():
        threads = calls.Threads()
        barrier = threading.Barrier(5)
        await asyncio.gather(*(threads.run(barrier.wait) for _ in range(5)))
        assert threading.active_count() == before + 5
        while threading.active_count() > before + 1:
            await threads.run(int)  # one is used, which keeps the others no longer
            await asyncio.sleep(0.01)
        assert await threads.run(int) == 0
        threads.close()

    asyncio.run(asyncio.wait_for(work(), 20))
    wait_until(lambda: threading.active_count() == before, 5, "all have ended")
