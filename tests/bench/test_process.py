# SPDX-License-Identifier: MIT
"""A peer's process can be stopped, let go on, and never outlives who started it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from envring.bench.measuring import machine
from envring.bench.measuring.orphans import Guard
from envring.bench.measuring.process import PeerFailed, PeerProcess

CALLER = """
import json, signal, sys
from envring.bench.measuring import machine
from envring.bench.measuring.orphans import Guard
from envring.bench.measuring.process import PeerProcess
guard = Guard()
peer = PeerProcess("async", "null", 2, {})
guard.watch(peer.pid)
peer.ready(30)
peer.pause()
print(json.dumps(sorted(machine.family(peer.pid))), flush=True)
signal.pause()
"""


def state(pid):
    """The one-letter state of a process, X when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def wait_until(condition, within=10.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        os.sched_yield()


@pytest.fixture
def peer():
    """Two null envs in AsyncVectorEnv."""
    process = PeerProcess("async", "null", 2, {})
    yield process
    process.kill()


def test_a_paused_peer_is_stopped_with_its_workers_and_goes_on(peer):
    peer.ready(30)
    family = machine.family(peer.pid)
    assert len(family) == 3
    peer.pause()
    wait_until(lambda: {state(pid) for pid in family} == {"T"})
    assert peer.processes == 3
    assert 1e6 < peer.memory_bytes() < 1e9
    peer.resume()
    answer = peer.ask(30, op="slice", seconds=0.02)
    assert answer["steps"] == 2 * answer["batches"]
    assert peer.close(30) >= 0


def test_a_paused_peer_can_be_killed(peer):
    peer.ready(30)
    family = machine.family(peer.pid)
    peer.pause()
    peer.kill()
    wait_until(lambda: {state(pid) for pid in family} <= {"X", "Z"})


def test_no_import_is_a_construction(peer):
    peer.load(30)
    assert machine.family(peer.pid) == {peer.pid}
    with pytest.raises(PeerFailed, match="slice before construct"):
        peer.ask(30, op="slice", seconds=0.02)


def test_stopped_peers_do_not_outlive_a_killed_caller():
    caller = subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE)
    try:
        family = json.loads(caller.stdout.readline())
        assert len(family) == 3
    finally:
        caller.kill()
        caller.wait()
        caller.stdout.close()
    wait_until(lambda: {state(pid) for pid in family} <= {"X", "Z"})


def test_a_guard_leaves_alone_whom_it_forgot():
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        with Guard() as guard:
            guard.watch(other.pid)
            guard.forget(other.pid)
        assert other.poll() is None
        with Guard() as guard:
            guard.watch(other.pid)
        assert other.wait(10) == -signal.SIGKILL
    finally:
        other.kill()
        other.wait()
