# SPDX-License-Identifier: MIT
"""Workers that are forked beside a host, or beside a connection to one, keep no end of it open."""

from __future__ import annotations

import os
import signal
import socket

import numpy as np
import pytest

import envring
from envring.pool.dialling import dial
from envring.testing import CountingEnv
from envring.transport.addresses import parse
from support.processes import Caller, alive, assert_gone, wait_until


def connected(url):
    name, port = url.partition("://")[2].split(":")
    return socket.create_connection((name, int(port)), 10)


@pytest.fixture
def forked():
    """Makes forked workers, which live until the test ends."""
    made = []

    def fork():
        made.append(envring.RingVectorEnv([CountingEnv], num_workers=1, context="fork"))
        made[-1].reset()
        return made[-1].processes[0].pid

    yield fork
    for envs in made:
        envs.close()


def number_of_sockets(pid):
    links = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    return sum(os.readlink(link).startswith("socket:") for link in links)


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_a_peer_sees_the_end_at_once(scheme, forked):
    """Of a connection that a host closes, though its process's workers live on."""
    with envring.serve("CartPole-v1", listen=f"{scheme}://127.0.0.1:0", max_connections=8) as host:
        sock = connected(host.url)
        wait_until(lambda: host.num_connections == 1, 10, "the host has it")
        forked()
        sock.sendall(b"nonsense\r\n\r\n")
        sock.settimeout(5)
        while sock.recv(4096):
            pass
        sock.close()


def test_a_host_sees_the_end_at_once(forked):
    """Of a connection that a caller closes, though its workers live on."""
    with envring.serve("CartPole-v1") as host:
        (dialled,) = dial([parse(host.url)], 5)
        wait_until(lambda: host.num_connections == 1, 10, "the host has it")
        forked()
        dialled.link.close()
        wait_until(lambda: host.num_connections == 0, 5, "the host has seen it")


def test_what_forked_workers_hold(forked, tmp_path):
    """No socket more than without a host: neither listeners nor connections."""
    before = number_of_sockets(forked())
    listen = ["tcp://127.0.0.1:0", f"unix://{tmp_path}/socket"]
    with envring.serve("CartPole-v1", listen=listen, metrics=0) as host:
        envs = envring.make_vec("CartPole-v1", 2, remotes=host.url, num_workers=1)
        envs.reset()
        assert number_of_sockets(forked()) == before
        envs.step(np.zeros(2, int))
        envs.close()


SERVING = """
    import os, sys, time

    import envring

    host = envring.serve("CartPole-v1", listen=sys.argv[1])
    if os.fork() == 0:
        print(host.url, os.getpid(), flush=True)  # it has closed what it closes
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


@pytest.mark.parametrize("scheme", ["tcp", "http", "grpc"])
def test_a_copy_holds_no_port_of_a_killed_host(scheme, monkeypatch):
    if scheme == "grpc":
        pytest.importorskip("grpc")
        monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")  # as if gRPC were busy, or an old one
    with Caller(SERVING, f"{scheme}://127.0.0.1:0") as caller:
        url, copy = caller.line().split()
        caller.process.kill()
        caller.process.wait(5)
        try:
            assert alive(int(copy))
            with socket.socket() as sock:
                sock.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        finally:
            os.kill(int(copy), signal.SIGKILL)
            assert_gone(int(copy), 5)


def test_a_fork_beside_a_host_that_starts_workers():
    """Both end: a copy keeps nothing open that a worker's start waits for."""
    with envring.serve("CartPole-v1") as host:
        for _ in range(5):
            envs = envring.RingVectorEnv(
                [envring.EnvSource("CartPole-v1")] * 2, remotes=f"1,{host.url}", context="fork"
            )
            envs.reset()
            envs.close()
