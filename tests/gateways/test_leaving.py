# SPDX-License-Identifier: MIT
"""Callers that go away while their env's constructor hangs: its process ends, its slot is free."""

import asyncio
import json
import socket
import threading
from functools import partial

import pytest

import envring
from support import plain_hanging
from support.processes import wait_until

ENV = f"{plain_hanging.__file__}:hang"
SECONDS = 20  # an env may take 60 to be built, and longer where the runtime says so


CALL = "/dm_env_rpc.v1.Environment/Process"
CREATE_WORLD = b"\x0a\x00"


def leave(host, go):
    """What every test does once a caller has asked for the env."""
    wait_until(lambda: host.sessions.used() == 1, SECONDS, "its constructor runs")
    go()
    wait_until(lambda: host.sessions.used() == 0, SECONDS, "its slot is free")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/ws", None),
        ("/gym", json.dumps({"method": "make", "params": {"env_id": ENV}})),
    ],
)
def test_over_websockets(path, said):
    pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
    connect = pytest.importorskip("websockets.sync.client").connect
    with (
        envring.serve(ENV, listen="http://127.0.0.1:0") as host,
        connect(host.url.replace("http", "ws", 1) + path, proxy=None) as websocket,
    ):
        if said is not None:
            websocket.send(said)
        leave(host, lambda: websocket.socket.shutdown(socket.SHUT_RDWR))


def test_over_a_websocket_of_an_asgi_server():
    """As in a user's own server, where connections are not taken over."""
    pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
    scope = {
        "type": "websocket",
        "path": "/ws",
        "root_path": "",
        "scheme": "ws",
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
    }

    async def send(message):
        pass

    async def call(app):
        said = asyncio.Queue()
        said.put_nowait({"type": "websocket.connect"})
        task = asyncio.ensure_future(app(scope, said.get, send))
        go = partial(said.put_nowait, {"type": "websocket.disconnect", "code": 1001})
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(leave, host, partial(loop.call_soon_threadsafe, go))
        await asyncio.wait_for(task, SECONDS)

    with envring.serve(ENV, listen=()) as host:
        asyncio.run(call(host.asgi()))


def test_over_grpc():
    grpc = pytest.importorskip("grpc", reason="dm_env_rpc stays unchecked")
    over = threading.Event()

    def requests():
        yield CREATE_WORLD
        over.wait()

    with (
        envring.serve(ENV, listen="grpc://127.0.0.1:0") as host,
        grpc.insecure_channel(host.url.removeprefix("grpc://")) as channel,
    ):
        stream = channel.stream_stream(CALL)(requests())
        leave(host, stream.cancel)
        over.set()
