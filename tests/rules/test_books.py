# SPDX-License-Identifier: MIT
"""The fixture that watches all other tests is itself watched."""

import contextlib
import mmap
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.books import Books
from support.processes import wait_until


@pytest.fixture
def before():
    return Books.now()


def expect(left, text):
    assert len(left) == 1
    assert text in left[0]


def until_it_runs(pid, program):
    """Waits for the end of an execve, during which a process has no environment to know it by."""
    deadline = time.monotonic() + 10
    while True:
        name, environment = (
            pathlib.Path(f"/proc/{pid}/{part}").read_bytes() for part in ("comm", "environ")
        )
        if name == program + b"\n" and environment:
            return
        assert time.monotonic() < deadline, name
        time.sleep(0.001)  # polling, bounded by the deadline


def test_nothing_is_left_by_nothing(before):
    assert before.left_over(within=0) == []


def test_a_running_child_is_left(before):
    child = subprocess.Popen(["sleep", "60"])
    try:
        until_it_runs(child.pid, b"sleep")
        expect(before.left_over(within=0), "(sleep)")
    finally:
        child.kill()
        child.wait(10)


def test_a_grandchild_is_left(before):
    child = subprocess.Popen(["sh", "-c", "sleep 60; :"], start_new_session=True)
    try:
        # the shell needs a moment to start it
        wait_until(lambda: "(sleep)" in str(before.left_over(within=0)), 10, "it is left")
    finally:
        os.killpg(child.pid, 9)
        child.wait(10)


def test_an_orphan_is_left(before):
    pid = int(subprocess.check_output(["sh", "-c", "sleep 60 >/dev/null & echo $!"]))
    try:
        until_it_runs(pid, b"sleep")
        expect(before.left_over(within=0), "(sleep)")
    finally:
        os.kill(pid, signal.SIGKILL)


def test_an_orphan_in_a_session_of_its_own_is_left(before):
    script = "setsid sleep 60 >/dev/null & echo $!"
    pid = int(subprocess.check_output(["sh", "-c", script]))
    try:
        until_it_runs(pid, b"sleep")
        expect(before.left_over(within=0), "(sleep)")
    finally:
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def stranger(script):
    """Runs a shell that has nothing from this process: no parent, session or environment."""
    argv = [
        "setsid",
        "env",
        "-i",
        f"PATH={os.defpath}",
        "sh",
        "-c",
        f"{script}; echo ready; exec sleep 60",
    ]
    starter = subprocess.Popen(["sh", "-c", '"$@" & echo $!', "", *argv], stdout=subprocess.PIPE)
    with starter, starter.stdout as told:
        pid, ready = sorted([told.readline(), told.readline()])  # in either order
        try:
            starter.wait(10)
            assert ready == b"ready\n"
            yield
        finally:
            os.kill(int(pid), signal.SIGKILL)


def test_what_others_start_is_not_left(before):
    with stranger("true"):
        left = before.left_over(within=0)
    assert not any("process" in text for text in left)


def test_a_name_that_only_others_use_is_not_left(before):
    path = f"/dev/shm/envring-test-{os.getpid()}"
    with stranger(f"exec 8>{path}"):
        assert os.path.exists(path)
        assert path not in before.left_over(within=0)
        with open(path):
            assert path in before.left_over(within=0)
        os.unlink(path)


def test_an_unreaped_child_is_left(before):
    child = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        expect(before.left_over(within=0), "state Z")
    finally:
        child.wait(10)


def test_a_socket_is_left(before):
    one, other = socket.socketpair()
    with one, other:
        assert len(before.left_over(within=0)) == 2


def test_a_memfd_is_left(before):
    fd = os.memfd_create("envring-test")
    try:
        expect(before.left_over(within=0), "1 x descriptor of /memfd:envring-test")
    finally:
        os.close(fd)


def test_a_mapping_is_left(before):
    fd = os.memfd_create("envring-test")
    try:
        os.ftruncate(fd, 4096)
        with mmap.mmap(fd, 4096):
            left = before.left_over(within=0)
    finally:
        os.close(fd)
    assert any("1 x mapping of /memfd:envring-test" in text for text in left)


def test_a_pidfd_is_left(before):
    fd = os.pidfd_open(os.getpid())
    try:
        expect(before.left_over(within=0), "pidfd")
    finally:
        os.close(fd)


def test_a_name_is_left(before):
    path = f"/dev/shm/envring-test-{os.getpid()}"
    with open(path, "w"):
        pass
    try:
        expect(before.left_over(within=0), path)
    finally:
        os.unlink(path)


def test_servants_of_multiprocessing_are_not_left(before):
    process = multiprocessing.get_context("forkserver").Process(target=os.getpid)
    process.start()
    process.join(30)
    process.close()
    assert before.left_over(within=2) == []


def test_a_worker_of_the_forkserver_is_left(before):
    process = multiprocessing.get_context("forkserver").Process(target=signal.pause)
    process.start()
    try:
        assert any("process" in text for text in before.left_over(within=0))
    finally:
        process.kill()
        process.join(30)
        process.close()


def test_a_thread_is_left(before):
    release = threading.Event()
    thread = threading.Thread(target=release.wait, args=(30,), name="forgotten")
    thread.start()
    try:
        expect(before.left_over(within=0), "thread forgotten")
    finally:
        release.set()
        thread.join(10)


def test_garbage_is_not_left(before):
    class Knot:
        def __init__(self):
            self.me = self
            self.sockets = socket.socketpair()

        def __del__(self):
            for one in self.sockets:
                one.close()

    Knot()
    assert before.left_over(within=2) == []
