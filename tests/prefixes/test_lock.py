# SPDX-License-Identifier: MIT
"""The lock of a build: one holder, children included, and no trace of it in the end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from envring.prefixes import lock
from prefixes.solving import WITHIN, wait_until


def soon():
    return time.monotonic() + WITHIN


def test_is_held_while_it_is_held(tmp_path):
    path = tmp_path / "a/b/lock"
    assert not lock.is_held(path)
    with lock.hold(path, soon()) as fd:
        assert lock.is_held(path)
        assert lock.holder(fd) == os.getpid()
    assert not lock.is_held(path)


def test_another_thread_waits_and_learns_who_holds_it(tmp_path):
    path, seen, got = tmp_path / "lock", [], []

    def want():
        with lock.hold(path, soon(), seen.append):
            got.append(True)

    thread = threading.Thread(target=want)
    with lock.hold(path, soon()):
        thread.start()
        wait_until(lambda: seen, "sign of waiting")
        assert not got
    thread.join(WITHIN)
    assert got and set(seen) == {os.getpid()}


def test_gives_up_at_the_deadline(tmp_path):
    with (
        lock.hold(tmp_path / "lock", soon()),
        pytest.raises(TimeoutError, match=f"held by process {os.getpid()}"),
        lock.hold(tmp_path / "lock", time.monotonic() - 1),
    ):
        pass


def test_a_child_keeps_it_when_its_holder_is_killed(tmp_path):
    path = tmp_path / "lock"
    script = (
        "import os, subprocess, sys, time\n"
        "from pathlib import Path\n"
        "from envring.prefixes import lock\n"
        "with lock.hold(Path(sys.argv[1]), time.monotonic() + 30) as fd:\n"
        "    child = subprocess.Popen(['sleep', '60'], pass_fds=[fd], stdout=2)\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE)
    with holder:
        child = int(holder.stdout.readline())
        holder.kill()
    try:
        assert lock.is_held(path)
    finally:
        os.kill(child, signal.SIGKILL)
    with lock.hold(path, soon()):
        pass


def test_letting_go_does_not_wait_for_children(tmp_path):
    path = tmp_path / "lock"
    with lock.hold(path, soon()) as fd:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[fd])
    try:
        assert not lock.is_held(path)
    finally:
        child.kill()
        child.wait(WITHIN)


def test_one_who_waited_for_a_removed_lock_takes_the_new_one(tmp_path):
    path, seen, got = tmp_path / "entry/lock", [], []

    def want():
        with lock.hold(path, soon(), seen.append):
            got.append(path.exists())

    thread = threading.Thread(target=want)
    with lock.hold(path, soon()):
        thread.start()
        wait_until(lambda: seen, "sign of waiting")
        lock.discard(path)
        assert not path.parent.exists()
    thread.join(WITHIN)
    assert got == [True]
