# SPDX-License-Identifier: MIT
"""The wires over HTTP: fresh starts, many callers, kills of callers and workers. `make wires`.

ENVRING_WIRES says for how many seconds; a third as many hosts and wires are started anew.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from support.hosts import running
from support.processes import wait_until

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
pytest.importorskip("msgpack", reason="the wires over HTTP stay unchecked")
pytest.importorskip("websockets", reason="the wires over HTTP stay unchecked")

SCRIPT = Path(__file__).parents[1] / "support" / "web_callers.py"
SECONDS = float(os.environ.get("ENVRING_WIRES", "10"))
PROCESSES, THREADS = 4, 16
LISTEN = ("--listen", "http://127.0.0.1:0")

pytestmark = pytest.mark.long


def test_no_fresh_start_hangs():
    from support.web_callers import WIRES, drive

    slowest = 0.0
    for _ in range(max(2, int(SECONDS * 100 / 120))):
        with running("CartPole-v1", *LISTEN) as host:
            for name in WIRES:
                began = time.monotonic()
                drive(host.url, name, 2)
                slowest = max(slowest, time.monotonic() - began)
    assert slowest < 20
    print(f"the slowest of all first answers came after {slowest:.2f} s")


def memory(pid):
    """KiB that a process holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def counted(host, name):
    with urllib.request.urlopen(f"{host.urls[-1]}/metrics", timeout=20) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + " "))


def callers(host, seed):
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), *sys.path]))
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), host.url, str(THREADS), str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


@contextlib.contextmanager
def workers_killed(host, every):
    """Kills one of the host's workers again and again, `every` so many seconds; the pids."""
    over, killed = threading.Event(), []

    def kill():
        while not over.wait(every):
            if found := host.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid := random.choice(found), signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def soak(host, seconds):
    """64 callers for some seconds; processes of theirs are killed at random moments."""
    draw, seed = random.Random(int(seconds)), 0
    running_now, failed = [], []
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while len(running_now) < PROCESSES:
                seed += 1
                running_now.append(callers(host, seed))
            time.sleep(min(draw.uniform(4, 16), max(end - time.monotonic(), 0)))
            victim = running_now.pop(draw.randrange(PROCESSES))
            victim.kill()
            failed.append(victim.communicate()[0])
    finally:
        for process in running_now:
            process.kill()
            failed.append(process.communicate()[0])
    told = b"".join(failed).decode()
    assert not told, told
    # those of requests have no connection that could end
    wait_until(lambda: counted(host, "envring_sessions") == 0, 60, "no session is left")


def test_many_callers_leave_nothing_behind():
    # callers are no faster than two cores let 64 of them be
    limits = ("--idle-timeout", "10", "--max-sessions", "1024", "--metrics", "0")
    with running("CartPole-v1", *LISTEN, *limits) as host:
        soak(host, max(SECONDS / 6, 4))  # until caches and pools are full
        before = memory(host.process.pid), descriptors(host.process.pid)
        with workers_killed(host, 0.5) as killed:
            soak(host, SECONDS)
        assert killed
        wait_until(lambda: descriptors(host.process.pid) <= before[1] + 8, 20, "all are closed")
        after = memory(host.process.pid), descriptors(host.process.pid)
        threads = len(os.listdir(f"/proc/{host.process.pid}/task"))
        print(f"PSS {before[0]} to {after[0]} KiB, descriptors {before[1]} to {after[1]}")
        steps, opened = (
            counted(host, f"envring_{name}_total") for name in ("env_steps", "sessions_opened")
        )
        print(f"{steps:.0f} steps in {opened:.0f} sessions, {threads} threads left")
        print(f"{len(killed)} workers killed")
        assert after[0] < before[0] * 1.2 + 8192


def test_connections_that_say_nothing_are_closed():
    with running("CartPole-v1", *LISTEN) as host, contextlib.ExitStack() as stack:
        place = ("127.0.0.1", int(host.url.rpartition(":")[2]))
        silent = []
        for beginning in (b"", b"POST /step HTTP/1.1\r\nHost: a\r\n", b"GET /gym HTTP/1.1\r\n"):
            sock = stack.enter_context(socket.create_connection(place, timeout=20))
            sock.sendall(beginning)
            silent.append(sock)
        for sock in silent:
            sock.settimeout(20)
            with contextlib.suppress(ConnectionError):
                while sock.recv(1000):
                    pass
