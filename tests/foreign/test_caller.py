# SPDX-License-Identifier: MIT
"""Workers in other interpreters when the calling process is killed, interrupted, or just ends."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from support.foreign_prefixes import VERSIONS
from support.processes import Caller, alive, assert_gone, wait_until

PRELUDE = """
    import os, signal, sys
    from envring import Python, RingVectorEnv
    from foreign.home import plain
    there = Python(sys.argv[1])
    sources = [plain(index=i, lengths=[200]) for i in range(2)]
"""
START = """
    envs = RingVectorEnv(sources, launcher=there, num_workers=2)
    envs.reset(); envs.step([0, 0])
    print(*envs.call("pid"), flush=True)
"""
END = 5.0  # seconds; two where a machine is not busy


def ids(line: str) -> list[int]:
    found = [int(word) for word in line.split()]
    assert len(set(found)) == 2
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_killed_caller(version, foreign_python):
    script = f"{PRELUDE}{START}\n    sys.stdin.readline()"
    with Caller(script, foreign_python(version)) as caller:
        pids = ids(caller.line())
        os.kill(caller.process.pid, signal.SIGKILL)
        for pid in pids:
            assert_gone(pid, END)


@pytest.mark.parametrize("version", ["2.7", "3.9"])
def test_killed_caller_while_an_env_hangs(version, foreign_python):
    hang = '    sources[1] = plain(index=1, faults={"step": "stop"})\n'
    start = START.replace("envs.step([0, 0])", "").rstrip()
    script = f"{PRELUDE}{hang}{start}\n    envs.step([0, 0])"
    with Caller(script, foreign_python(version)) as caller:
        pids = ids(caller.line())
        os.kill(caller.process.pid, signal.SIGKILL)
        for pid in pids:
            assert_gone(pid, END)


def below(pid: int) -> int:
    """The process that was started last by those which that one started."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


def kill_caller_of_stopped_workers(launcher, program):
    """A stopped process runs no thread, and the end of its own parent is not the caller's."""
    script = f"""{PRELUDE}
    from foreign.test_relay import WithoutLibrary
    envs = RingVectorEnv(sources, launcher={launcher}, num_workers=2)
    envs.reset()
    envs.call("pid")
    print(*[process.pid for process in envs.processes], flush=True)
    sys.stdin.readline()
    """
    with Caller(script, program) as caller:
        outer = ids(caller.line())
        workers = [below(pid) for pid in outer]
        for pid in workers:
            assert pid not in outer
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: not alive_and_running(pid), 5, "it is stopped")  # noqa: B023
        os.kill(caller.process.pid, signal.SIGKILL)
        for pid in (*workers, *outer):
            assert_gone(pid, END)


def wrapped(python, folder):
    """A script that starts an interpreter and waits for its end."""
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\n"{python}" "$@"\nexit $?\n')
    wrapper.chmod(0o755)
    return wrapper


def test_killed_caller_of_a_stopped_worker_of_a_script(tmp_path):
    kill_caller_of_stopped_workers("Python(sys.argv[1])", wrapped(sys.executable, tmp_path))


def test_killed_caller_of_a_stopped_worker_in_a_sandbox():
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bwrap: a stopped worker in a sandbox stays unchecked")
    kill_caller_of_stopped_workers("Python(sys.argv[1], sandbox=True)", sys.executable)


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.13"])
def test_killed_caller_of_a_stopped_worker_without_the_library(version, foreign_python):
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bwrap: a stopped worker in a sandbox stays unchecked")
    program = foreign_python(version)
    kill_caller_of_stopped_workers("WithoutLibrary(sys.argv[1], sandbox=True)", program)


def alive_and_running(pid: int) -> bool:
    """Whether the process runs and is not stopped."""
    return alive(pid) and "State:\tT" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("version", ["2.7", "3.9"])
def test_interrupted_caller(version, foreign_python):
    """Ctrl-C in the terminal reaches the whole group; workers stay quiet and close() works."""
    script = f"""{PRELUDE}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background
    envs = RingVectorEnv(sources, launcher=there, num_workers=2)
    envs.reset()
    try:
        print(*envs.call("pid"), flush=True)
        while True:
            envs.step([0, 0])
    except KeyboardInterrupt:
        envs.close()
        print("closed", flush=True)
    """
    with Caller(script, foreign_python(version)) as caller:
        pids = ids(caller.line())
        os.killpg(caller.process.pid, signal.SIGINT)
        assert caller.line() == "closed"
        code, _, err = caller.finish()
        assert (code, err) == (0, "")
        for pid in pids:
            assert_gone(pid, END)


@pytest.mark.parametrize("version", ["2.7", "3.9"])
def test_caller_that_ends_without_closing(version, foreign_python):
    with Caller(f"{PRELUDE}{START}", foreign_python(version)) as caller:
        pids = ids(caller.line())
        code, _, _ = caller.finish()
        assert code == 0
        for pid in pids:
            assert_gone(pid, END)


def test_fork_of_the_caller(foreign_python):
    """A forked copy holds nothing that would keep the workers alive."""
    script = f"""{PRELUDE}{START}
    child = os.fork()
    if child == 0:
        sys.stdin.readline()
        os._exit(0)
    print(child, child + 1, flush=True)
    sys.stdin.readline()
    """
    with Caller(script, foreign_python("3.9")) as caller:
        pids = ids(caller.line())
        child = int(caller.line().split()[0])
        os.kill(caller.process.pid, signal.SIGKILL)
        try:
            for pid in pids:
                assert_gone(pid, END)
        finally:
            os.kill(child, signal.SIGKILL)
