# SPDX-License-Identifier: MIT
"""What becomes of workers when the calling process is killed, interrupted, forked, or just ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.processes import CONTEXTS, Caller, assert_gone, read_pid

PRELUDE = """
    import os, sys, time, signal, threading
    import numpy as np
    from envring import RingVectorEnv
    from envring.testing import *
    from support.processes import counting_fns
"""
END = 5.0  # seconds; two where a machine is not busy


def ids(line: str) -> list[int]:
    return [int(word) for word in line.split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("context", CONTEXTS)
def test_killed_caller_while_idle(context: str, number: int) -> None:
    script = f"""{PRELUDE}
    envs = RingVectorEnv(counting_fns(4), num_workers=2, context={context!r})
    envs.reset(); envs.step([0] * 4)
    print(*set(envs.get_attr("pid")), flush=True)
    sys.stdin.readline()
    """
    with Caller(script) as caller:
        pids = ids(caller.line())
        assert len(pids) == 2
        os.kill(caller.process.pid, number)
        for pid in pids:
            assert_gone(pid, END)


@pytest.mark.parametrize("spin", [False, True])
@pytest.mark.parametrize("context", CONTEXTS)
def test_killed_caller_while_an_environment_hangs(context: str, spin: bool, tmp_path: Path) -> None:
    announce = tmp_path / "pid"
    script = f"""{PRELUDE}
    fns = [CountingEnv, lambda: HangingEnv(spin={spin}, announce={str(announce)!r})]
    envs = RingVectorEnv(fns, num_workers=2, context={context!r})
    envs.reset()
    print(*envs.get_attr("pid"), flush=True)
    envs.step([0, 0])
    """
    with Caller(script) as caller:
        pids = ids(caller.line())
        read_pid(announce)
        os.kill(caller.process.pid, signal.SIGKILL)
        for pid in pids:
            assert_gone(pid, END)


def test_killed_caller_while_environments_are_built(tmp_path: Path) -> None:
    announce = tmp_path / "pid"
    script = f"""{PRELUDE}
    RingVectorEnv([lambda: HangingEnv("init", announce={str(announce)!r})], num_workers=1)
    """
    with Caller(script) as caller:
        pid = read_pid(announce)
        os.kill(caller.process.pid, signal.SIGKILL)
        assert_gone(pid, END)


def test_killed_caller_with_two_vector_envs() -> None:
    """Workers of the second inherit descriptors of the first: that must not keep anybody alive."""
    script = f"""{PRELUDE}
    both = [RingVectorEnv(counting_fns(2), num_workers=2, context="fork") for _ in range(2)]
    print(*[pid for envs in both for pid in envs.get_attr("pid")], flush=True)
    sys.stdin.readline()
    """
    with Caller(script) as caller:
        pids = ids(caller.line())
        assert len(set(pids)) == 4
        os.kill(caller.process.pid, signal.SIGKILL)
        for pid in pids:
            assert_gone(pid, END)


def test_killed_caller_whose_child_lives_on() -> None:
    """A forked child of the caller holds copies of its descriptors: workers end all the same."""
    script = f"""{PRELUDE}
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    pids = envs.get_attr("pid")
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, *pids, flush=True)
    sys.stdin.readline()
    """
    with Caller(script) as caller:
        child, *pids = ids(caller.line())
        try:
            os.kill(caller.process.pid, signal.SIGKILL)
            for pid in pids:
                assert_gone(pid, END)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("end", ["pass", "raise ValueError('end')", "sys.exit(3)", "os._exit(4)"])
def test_caller_that_ends_without_close(end: str, context: str) -> None:
    script = f"""{PRELUDE}
    envs = RingVectorEnv(counting_fns(2), num_workers=2, context={context!r})
    envs.reset()
    print(*envs.get_attr("pid"), flush=True)
    {end}
    """
    with Caller(script) as caller:
        pids = ids(caller.line())
        start = time.monotonic()
        code, out, err = caller.finish()
        assert time.monotonic() - start < 10
        for pid in pids:
            assert_gone(pid, END)
    assert code == {"pass": 0, "raise ValueError('end')": 1, "sys.exit(3)": 3}.get(end, 4)
    assert out == ""
    if end.startswith("raise"):
        assert err.count("Traceback") == 1
        assert err.strip().endswith("ValueError: end")
    else:
        assert err == ""


def test_caller_that_ends_during_a_step() -> None:
    script = f"""{PRELUDE}
    envs = RingVectorEnv([CountingEnv, HangingEnv], num_workers=2)
    envs.reset()
    print(*envs.get_attr("pid"), flush=True)
    envs.step_async([0, 0])
    """
    with Caller(script) as caller:
        pids = ids(caller.line())
        start = time.monotonic()
        code, _, err = caller.finish()
        assert time.monotonic() - start < 10
        for pid in pids:
            assert_gone(pid, END)
    assert code == 0
    assert "Traceback" not in err


@pytest.mark.parametrize("context", CONTEXTS)
def test_interrupt_of_the_whole_group(context: str, tmp_path: Path) -> None:
    """Ctrl-C reaches all processes: the caller raises, workers print nothing."""
    announce = tmp_path / "pid"
    script = f"""{PRELUDE}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    fns = [CountingEnv, lambda: HangingEnv(announce={str(announce)!r})]
    envs = RingVectorEnv(fns, num_workers=2, context={context!r})
    envs.reset()
    print(*envs.get_attr("pid"), flush=True)
    try:
        envs.step([0, 0])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    import warnings
    start = time.monotonic()
    envs.close(timeout=0.5)
    print("closed", time.monotonic() - start < 15, flush=True)
    """
    with Caller(script) as caller:
        pids = ids(caller.line())
        read_pid(announce)
        os.killpg(caller.process.pid, signal.SIGINT)
        start = time.monotonic()
        assert caller.line() == "interrupted"
        assert time.monotonic() - start < 10
        assert caller.line() == "closed True"
        code, out, err = caller.finish()
        for pid in pids:
            assert_gone(pid, END)
    assert (code, out, err) == (0, "", "")


def test_interrupts_during_many_steps() -> None:
    """Interrupts at any moment: the caller raises each, and goes on or closes."""
    script = f"""{PRELUDE}
    import random
    signal.signal(signal.SIGINT, signal.default_int_handler)
    envs = RingVectorEnv(counting_fns(4), num_workers=2)
    envs.reset()
    for _ in range(20):  # until the infos have their templates: a message cut off ends the workers
        envs.step([0] * 4)
    count, until = 0, time.monotonic() + 3
    def send():
        while time.monotonic() < until:
            time.sleep(random.random() / 50)
            os.kill(os.getpid(), signal.SIGINT)
    sender = threading.Thread(target=send)
    sender.start()
    while sender.is_alive():
        try:
            # Whatever was under way: a wait collects it, else there is nothing.
            while envs._state.value != "default":
                getattr(envs, envs._state.value + "_wait")()
            for _ in range(50):
                envs.step([0] * 4)
        except KeyboardInterrupt:
            count += 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while envs._state.value != "default":
        getattr(envs, envs._state.value + "_wait")()
    envs.reset(seed=0)
    print(count > 10, envs.step([0] * 4)[1].tolist(), flush=True)
    envs.close()
    """
    with Caller(script) as caller:
        assert caller.line() == "True [0.125, 1.125, 2.125, 3.125]"
        code, out, err = caller.finish()
    assert (code, out, err) == (0, "", "")


def test_fork_of_the_caller() -> None:
    """The child may neither use nor harm the parent's vector env; it can make its own."""
    script = f"""{PRELUDE}
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    observations = envs.reset(seed=0)[0]
    child = os.fork()
    if child == 0:
        status = 0
        try:
            envs.step([0, 0])
            status = 1
        except Exception as error:
            print(type(error).__name__, flush=True)
        envs.close()
        del envs
        status += 2 * (observations[1, 0] != 1)
        own = RingVectorEnv(counting_fns(2), num_workers=1)
        own.reset(seed=0)
        status += 4 * (own.step([0, 0])[1].tolist() != [0.125, 1.125])
        own.close()
        os._exit(status)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), envs.step([0, 0])[1].tolist(), flush=True)
    envs.close()
    """
    with Caller(script) as caller:
        assert caller.line() == "EnvringError"
        assert caller.line() == "0 [0.125, 1.125]"
        code, out, err = caller.finish()
    assert (code, out, err) == (0, "", "")


def test_multiprocessing_child_of_the_caller() -> None:
    """A process that multiprocessing forks, with its exit handlers, leaves the parent's alone."""
    script = f"""{PRELUDE}
    import multiprocessing
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    envs.reset(seed=0)
    process = multiprocessing.get_context("fork").Process(target=lambda: None)
    process.start(); process.join(10)
    print(process.exitcode, envs.step([0, 0])[1].tolist(), flush=True)
    envs.close()
    """
    with Caller(script) as caller:
        assert caller.line() == "0 [0.125, 1.125]"
        code, out, err = caller.finish()
    assert (code, out, err) == (0, "", "")


def test_nested_vector_envs() -> None:
    """An environment that holds a vector env of its own; killed from the outside, all end."""
    script = f"""{PRELUDE}
    class Outer(CountingEnv):
        def __init__(self):
            super().__init__()
            self.inner = RingVectorEnv(counting_fns(2), num_workers=2)
            self.inner.reset()
        @property
        def pids(self):
            return (os.getpid(), *self.inner.get_attr("pid"))
    envs = RingVectorEnv([Outer], num_workers=1, daemon=False)
    envs.reset(); envs.step([0])
    print(*envs.get_attr("pids")[0], flush=True)
    sys.stdin.readline()
    """
    with Caller(script) as caller:
        pids = ids(caller.line())
        assert len(pids) == 3
        os.kill(caller.process.pid, signal.SIGKILL)
        for pid in pids:
            assert_gone(pid, 2 * END)


def run_script(script: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def test_spawned_workers_of_a_script_without_a_main_guard(tmp_path: Path) -> None:
    """A script run as a file, with its classes in __main__, works under each start method."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from envring import RingVectorEnv\n"
        "from envring.testing import CountingEnv\n"
        "class Mine(CountingEnv):\n"
        "    def add(self, a, b=0): return 'mine'\n"
        "if __name__ == '__main__':\n"
        "    for context in ('fork', 'forkserver', 'spawn'):\n"
        "        envs = RingVectorEnv([Mine] * 2, num_workers=2, context=context)\n"
        "        envs.reset(); print(context, envs.call('add', 1)); envs.close()\n"
    )
    done = run_script(script)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{context} ('mine', 'mine')" for context in ("fork", "forkserver", "spawn")
    ]


@pytest.mark.parametrize("context", ["forkserver", "spawn"])
def test_tracebacks_of_a_script_name_its_file_and_line(tmp_path: Path, context: str) -> None:
    """Envs of a script, and of what was typed in, cross by value."""
    script = tmp_path / "train.py"
    script.write_text(
        "import linecache, traceback\n"
        "import envring\n"
        "from envring.testing import CountingEnv\n"
        "class Broken(CountingEnv):\n"
        "    def step(self, action):\n"
        "        raise ValueError('of the script')\n"
        "cell = 'def typed():\\n    raise ValueError(1)\\n'\n"
        "exec(compile(cell, '<cell>', 'exec'))\n"
        "linecache.cache['<cell>'] = (len(cell), None, cell.splitlines(True), '<cell>')\n"
        "def show(call):\n"
        "    try:\n"
        "        call()\n"
        "    except ValueError as error:\n"
        "        print(str(error.__cause__))\n"
        "if __name__ == '__main__':\n"
        f"    envs = envring.RingVectorEnv([Broken], context={context!r})\n"
        "    envs.reset()\n"
        "    show(lambda: envs.step([0]))\n"
        "    envs.close()\n"
        f"    show(lambda: envring.RingVectorEnv([typed], context={context!r}))\n"
    )
    shown = run_script(script).stdout
    assert f'File "{script}", line 6, in step' in shown
    assert "raise ValueError('of the script')" in shown
    assert 'File "<cell>", line 2, in typed' in shown
    assert "raise ValueError(1)" in shown
