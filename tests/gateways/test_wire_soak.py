# SPDX-License-Identifier: MIT
"""dm_env_rpc and OpenEnv with our own callers, for a while: fresh starts, and many who are killed.

`make wires` (ENVRING_WIRES) takes that many seconds and 64 callers; `wire_soak.py` says what is
looked at.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import envring
from support.hosts import running

pytestmark = pytest.mark.long
pytest.importorskip("grpc")
pytest.importorskip("websockets")

SCRIPT = Path(__file__).with_name("wire_soak.py")
ASKED = os.environ.get("ENVRING_WIRES")
SECONDS, CALLERS, STARTS = (float(ASKED), 64, 100) if ASKED else (8.0, 16, 5)


@pytest.mark.parametrize("wire", ["grpc", "openenv"])
def test_many_callers(wire):
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), *sys.path]))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), wire, str(SECONDS), str(CALLERS)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=3 * SECONDS + 25,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]


def test_fresh_starts():
    for _ in range(STARTS):
        with running("CartPole-v1", "--listen", "grpc://127.0.0.1:0") as host:
            for _ in range(2):
                with contextlib.closing(envring.make("", remotes=host.url)) as env:
                    env.reset()
                    env.step(1)


def test_half_a_connection_to_grpc_is_closed():
    """Whether its caller says nothing, or something else; others are served meanwhile."""
    with (
        running("CartPole-v1", "--listen", "grpc://127.0.0.1:0") as host,
        contextlib.ExitStack() as stack,
    ):
        place = ("127.0.0.1", int(host.url.rpartition(":")[2]))
        socks = []
        for beginning in (
            b"",
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01",
        ):
            sock = stack.enter_context(socket.create_connection(place, timeout=20))
            sock.sendall(beginning)
            socks.append(sock)
        with contextlib.closing(envring.make("", remotes=host.url)) as env:
            env.reset()
        for sock in socks:
            with contextlib.suppress(ConnectionError):
                while sock.recv(1000):
                    pass
