# SPDX-License-Identifier: MIT
"""How workers end without `close`, what `close` tells, and what nobody can disarm."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from envring import ConcurrentCallError, RingVectorEnv, WorkerDied
from envring.pool import ending
from envring.testing import CountingEnv, GatedEnv, HangingEnv
from envring.testing.conformance_base import quiet
from support.processes import CONTEXTS, Caller, assert_gone, counting_fns, read_pid, wait_until

PRELUDE = """
    import os, sys, time, signal, subprocess, threading
    from envring import RingVectorEnv
    from envring.testing import *
    from support.processes import counting_fns

    class Simulator(CountingEnv):
        def __init__(self, index=0):
            super().__init__(index, lengths=(10**6,))
            self.process = subprocess.Popen(["sleep", "60"])
        @property
        def simulator(self):
            return self.process.pid
        def close(self):
            self.process.kill()
            self.process.wait()
"""


@pytest.mark.parametrize(
    "end", ["pass", "sys.exit(3)", "raise ValueError", "del envs; sys.stdin.readline()", "signal"]
)
def test_orderly_ends_close_the_envs(end: str) -> None:
    script = f"""{PRELUDE}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    envs = RingVectorEnv([Simulator] * 4, num_workers=4)
    envs.reset()
    print(*envs.get_attr("simulator"), flush=True)
    {end if end != "signal" else "time.sleep(60)"}
    """
    with Caller(script) as caller:
        pids = [int(word) for word in caller.line().split()]
        if end == "signal":
            os.kill(caller.process.pid, signal.SIGINT)
        start = time.monotonic()
        for pid in pids:
            assert_gone(pid, 5)
        assert time.monotonic() - start < 5


def test_siblings_of_the_dead_close_their_envs(tmp_path: Path) -> None:
    class Closing(CountingEnv):
        def close(self) -> None:
            (tmp_path / f"closed {self.index}").touch()

    envs = RingVectorEnv([lambda i=i: Closing(i) for i in range(3)], num_workers=3)  # type: ignore[misc]
    envs.reset()
    os.kill(envs.get_attr("pid")[1], signal.SIGKILL)
    with pytest.raises(WorkerDied):
        envs.step([0] * 3)
    envs.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["closed 0", "closed 2"]


@pytest.mark.parametrize("workers", [1, 2])
def test_exceptions_in_close_are_reported(workers: int) -> None:
    class Broken(CountingEnv):
        def close(self) -> None:
            raise ValueError("no end")

    envs = RingVectorEnv([CountingEnv, Broken], num_workers=workers)
    envs.reset()
    with pytest.warns(RuntimeWarning, match=r"Env 1 raised in close\(\): no end") as caught:
        envs.close()
    assert "in close" in str(caught[0].message)
    assert envs.closed


def test_plain_close_ends_and_names_whom_it_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "CLOSE_SECONDS", 1.0)
    announce = tmp_path / "pid"
    fns: list[Any] = [CountingEnv, lambda: HangingEnv("close", announce=str(announce))]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset()
    start = time.monotonic()
    with pytest.warns(RuntimeWarning, match="kill the worker of env 1"):
        envs.close()
    assert time.monotonic() - start < 4
    assert_gone(read_pid(announce), 1)


def test_close_while_another_thread_steps(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    envs = RingVectorEnv([lambda: GatedEnv(str(gate))], num_workers=1)
    envs.reset(seed=0)
    results: list[Any] = []
    stepper = threading.Thread(target=lambda: results.append(envs.step([1])))
    stepper.start()
    read_pid(Path(f"{gate}.waiting"))
    with pytest.raises(ConcurrentCallError):
        envs.close()
    assert not envs.closed
    gate.touch()
    stepper.join(10)
    assert len(results) == 1
    envs.step([1])
    envs.close()


DISARMING = {
    "ignores": "signal.signal(signal.SIGIO, signal.SIG_IGN)",
    "handles": "signal.signal(signal.SIGIO, lambda *_: None)",
    "closes": "os.closerange(3, 1000)",
    "stops": "os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("how", DISARMING)
def test_no_env_disarms_the_watch(how: str, context: str, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = f"""{PRELUDE}
    class Disarming(CountingEnv):
        def step(self, action):
            with open({str(mark)!r} + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.rename({str(mark)!r} + ".new", {str(mark)!r})
            {DISARMING[how]}
            time.sleep(60)
    if __name__ == "__main__":
        envs = RingVectorEnv([Disarming], num_workers=1, context={context!r})
        envs.reset()
        envs.step([0])
    """
    with Caller(script) as caller:
        pid = read_pid(mark)
        if how == "stops":
            wait_until(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text(), 5, "stopped")
        time.sleep(0.1)
        os.kill(caller.process.pid, signal.SIGKILL)
        assert_gone(pid, 10)


@pytest.mark.parametrize("context", ["forkserver", "spawn"])
def test_killed_caller_while_a_worker_imports(context: str, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "if __name__ != '__main__':\n"
        f"    open({str(mark)!r} + '.new', 'w').write(str(os.getpid()))\n"
        f"    os.rename({str(mark)!r} + '.new', {str(mark)!r})\n"
        "    time.sleep(60)\n"
        "from envring import RingVectorEnv\n"
        "from envring.testing import CountingEnv\n"
        "if __name__ == '__main__':\n"
        f"    RingVectorEnv([CountingEnv], num_workers=1, context={context!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    try:
        pid = read_pid(mark)
    finally:
        process.kill()
        process.wait()
    assert_gone(pid, 10)


def test_handlers_of_the_caller_do_not_run_in_workers(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    before = signal.signal(signal.SIGTERM, lambda *_: mark.touch())
    try:
        envs = RingVectorEnv([lambda: HangingEnv(announce=str(tmp_path / "pid"))], num_workers=1)
        envs.reset()
        envs.step_async([0])
        read_pid(tmp_path / "pid")
        with quiet():
            envs.close(terminate=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not mark.exists()


def test_exit_with_workers_that_are_no_daemons() -> None:
    """A finalizer made before the import puts multiprocessing's exit handler before weakref's."""
    script = """
    import weakref
    class Thing: pass
    thing = Thing()
    weakref.finalize(thing, print, end="")
    from envring import RingVectorEnv
    from envring.testing import CountingEnv
    envs = RingVectorEnv([CountingEnv], num_workers=1, daemon=False)
    envs.reset()
    print("made", flush=True)
    """
    with Caller(script) as caller:
        assert caller.line() == "made"
        code, _, err = caller.finish(10)
    assert (code, err) == (0, "")


def test_much_stderr_of_code_that_holds_the_interpreter_lock() -> None:
    script = f"""{PRELUDE}
    import ctypes
    class Loud(CountingEnv):
        def step(self, action):
            text = b"x" * 200_000
            ctypes.PyDLL(None).write(2, text, len(text))
            return super().step(action)
    envs = RingVectorEnv([Loud], num_workers=1)
    envs.reset()
    start = time.monotonic()
    envs.step([0])
    print(time.monotonic() - start, flush=True)
    envs.close()
    """
    with Caller(script) as caller:
        reader: list[str] = []
        assert caller.process.stderr is not None
        stderr = caller.process.stderr
        thread = threading.Thread(target=lambda: reader.append(stderr.read()))
        thread.start()
        assert float(caller.line()) < 2
        caller.process.wait(10)
        thread.join(10)
    assert reader == ["x" * 200_000]


def test_nobody_reads_the_callers_stderr() -> None:
    script = f"""{PRELUDE}
    class Loud(CountingEnv):
        def step(self, action):
            os.write(2, b"x" * 500_000)
            return super().step(action)
    envs = RingVectorEnv([Loud], num_workers=1)
    envs.reset()
    envs.step([0]); envs.step([0])
    print("stepped", flush=True)
    envs.close()
    print("closed", flush=True)
    """
    with Caller(script) as caller:
        assert caller.line(15) == "stepped"
        assert caller.line(15) == "closed"


def test_a_grandchild_that_writes_on_does_not_hold_the_end() -> None:
    script = f"""{PRELUDE}
    class Loud(CountingEnv):
        def step(self, action):
            subprocess.Popen(["sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxx >&2; done"])
            time.sleep(0.3)
            os._exit(1)
    envs = RingVectorEnv([Loud], num_workers=1)
    envs.reset()
    start = time.monotonic()
    try:
        envs.step([0])
    except Exception as error:
        print(type(error).__name__, flush=True)
    envs.close()
    print(time.monotonic() - start < 10, flush=True)
    """
    with Caller(script) as caller:
        assert caller.line() == "WorkerDied"
        assert caller.line() == "True"
        os.killpg(caller.process.pid, signal.SIGKILL)


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("context", CONTEXTS)
def test_three_descriptors_per_worker(context: str) -> None:
    RingVectorEnv(counting_fns(1), num_workers=1, context=context).close()
    counts = []
    for number in (2, 6):
        envs = RingVectorEnv(counting_fns(number), num_workers=number, context=context)
        counts.append(fds())
        envs.close()
        del envs
    assert counts[1] - counts[0] <= 3 * 4


def test_a_caller_with_many_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2200:
        pytest.skip("no more than 2,200 descriptors here: a caller with 2,000 stays unchecked")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(2000)]
    try:
        for context in CONTEXTS:
            envs = RingVectorEnv(counting_fns(2), num_workers=2, context=context)
            envs.reset()
            envs.step([0, 0])
            envs.close()
    finally:
        for fd in many:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


LIMITED = """
    import resource
    from envring import RingVectorEnv
    from envring.testing import CountingEnv
    resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
    try:
        envs = RingVectorEnv([CountingEnv] * {n}, num_workers={n}, context="fork")
        envs.reset()
        envs.close()
        print("closed", flush=True)
    except Exception as error:
        print(type(error).__name__, "ulimit -n" in str(error), flush=True)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "answer"), [(100, 1000, "closed"), (100, 100, "LaunchError True")]
)
def test_the_limit_of_descriptors(soft: int, hard: int, answer: str) -> None:
    with Caller(LIMITED.format(soft=soft, hard=hard, n=40)) as caller:
        assert caller.line(30) == answer


@pytest.mark.long
def test_256_workers_with_1024_descriptors() -> None:
    with Caller(LIMITED.format(soft=1024, hard=1024, n=256)) as caller:
        assert caller.line(120) == "closed"


def test_the_stack_of_a_worker_that_hangs(tmp_path: Path) -> None:
    announce = tmp_path / "pid"
    envs = RingVectorEnv([lambda: HangingEnv(announce=str(announce))], num_workers=1)
    envs.reset()
    envs.step_async([0])
    read_pid(announce)
    worker = envs._batcher.pool.workers[0]
    stack = worker.python_stack(5.0)
    assert "most recent call first" in stack
    assert "in fault" in stack
    assert "in fault" in worker.python_stack(5.0)
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: worker.python_stack(0.1) == "", 5, "a stopped one tells nothing")
    with quiet():
        envs.close(terminate=True)
