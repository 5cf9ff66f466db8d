# SPDX-License-Identifier: MIT
"""A worker process whose caller is gone, and one that dies itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from envring._foreign.envring_worker.process import hangup
from envring.core import _core
from support.processes import assert_gone, wait_until
from worker.caller import LIBRARY, Caller, source

OLD_NEW = pytest.mark.parametrize("version", ["2.7", "3.6", "3.13"])
BOTH = pytest.mark.parametrize("library", [LIBRARY, None], ids=["native", "relay"])
SOON = 5.0  # seconds; two where a machine is not busy

CALLER = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from envring.core import _core
    from worker.caller import Caller, source

    caller = Caller({python!r}, [source("Busy", how={how!r}, mark={mark!r})], library={library!r})
    caller.up()
    caller.step()
    if {how!r} in ("idle", "close"):
        open({mark!r}, "w").write(str(caller.process.pid))
    else:
        caller.begin(_core.OP_STEP)
    time.sleep(60)
"""


def named(value: str | None) -> str:
    return {LIBRARY: "native", None: "relay"}.get(value, value)


@pytest.fixture
def python(version, foreign_python) -> str:
    return foreign_python(version)


def whole(path: Path) -> int | None:
    return int(text) if path.exists() and (text := path.read_text()) else None


@OLD_NEW
@pytest.mark.parametrize(
    ("how", "library"),
    [(how, LIBRARY) for how in ("idle", "sleep", "python", "C", "close")]
    + [(how, None) for how in ("idle", "sleep", "python", "close")],
    ids=named,
)
def test_goes_when_its_caller_is_killed(python, how, library, tmp_path):
    """Whatever it is doing, it is gone within two seconds, or a few on a busy machine."""
    mark = tmp_path / "pid"
    code = textwrap.dedent(CALLER).format(
        tests=str(Path(__file__).parents[1]),
        python=python,
        how=how,
        mark=str(mark),
        library=library,
    )
    caller = subprocess.Popen([sys.executable, "-c", code])
    try:
        worker = wait_until(lambda: whole(mark), 30, "the worker is at work")
    finally:
        caller.kill()
        caller.wait()
    assert_gone(worker, SOON)


@OLD_NEW
@pytest.mark.parametrize(
    ("how", "library"),
    [("idle", LIBRARY), ("sleep", LIBRARY), ("C", LIBRARY), ("idle", None), ("sleep", None)],
    ids=named,
)
def test_goes_when_pipes_are_cut(python, library, how, tmp_path):
    """Nothing but the channel tells it, as in a container."""
    mark = tmp_path / "pid"
    sources = [source("Busy", how=how, mark=str(mark))]
    with Caller(python, sources, pipes=True, captures=False, library=library) as caller:
        caller.ready()
        assert caller.attach(caller.lay_out(str(tmp_path / "segment"))) == ("attached",)
        caller.step()
        if how != "idle":
            caller.begin(_core.OP_STEP)
            wait_until(lambda: whole(mark), 20, "it sleeps")
        caller.hang_up()
        start = time.monotonic()
        code = caller.wait(SOON)
        # the library interrupts what sleeps: C code that returns then may leave in order
        orderly = how == "idle" or (library is not None and code == 0)
        assert code == (0 if orderly else -signal.SIGKILL)
        if not orderly:
            assert time.monotonic() - start > 0.8, "it had a second to close its envs"


@OLD_NEW
@BOTH
def test_closes_its_envs_when_the_caller_goes(python, library):
    with Caller(python, [source("Counting"), source("Counting")], library=library) as caller:
        caller.up()
        caller.step()
        caller.hang_up()
        assert caller.wait(SOON) == 0
        assert caller.tail() == "closed an env\nclosed an env"


@OLD_NEW
@BOTH
def test_a_caller_that_closes_the_channel_alone_is_gone_too(python, library):
    with Caller(python, [source("Counting")], library=library) as caller:
        caller.up()
        os.close(caller.incoming)
        os.close(caller.outgoing)
        caller.incoming = caller.outgoing = -1
        if library is None:
            assert caller.wait(SOON) == 0
        else:  # which waits for commands in the segment
            os.close(caller.lifeline)
            caller.lifeline = -1
            assert caller.wait(SOON) == 0
        assert caller.tail() == "closed an env"


@OLD_NEW
def test_a_full_reply_ring_holds_nobody_whose_caller_is_gone(python):
    with Caller(python, [source("Counting")]) as caller:
        caller.up()
        caller.begin(_core.OP_MESSAGE, "call", "many", (1 << 20,), {})
        assert wait_until(lambda: caller.port.wait(0) == 1, 10, "the ring is full")
        caller.hang_up()
        assert caller.wait(SOON) == 0


@OLD_NEW
@pytest.mark.parametrize(
    ("how", "code"),
    [("exit", 3), ("signal", -signal.SIGKILL), ("segfault", -signal.SIGSEGV)],
)
def test_last_words(python, version, how, code):
    with Caller(python, [source("Dying", how=how)]) as caller:
        caller.up()
        caller.begin(_core.OP_STEP)
        assert caller.wait() == code
        tail = caller.tail()
        assert tail.startswith("last words")
        if how == "segfault" and version != "2.7":
            assert "Fatal Python error: Segmentation fault" in tail
            assert "plain_envs.py" in tail


def test_watch_of_a_python_2_that_ends(monkeypatch):
    """It empties modules before it ends, while the thread may still run: not an error to print."""
    ours, theirs = os.pipe()
    watch = hangup._HangupWatch(ours, 0)
    watch.in_python2 = True
    os.close(theirs)
    monkeypatch.setattr(hangup, "time", None)
    watch.run()
    os.close(ours)
    assert watch.is_cut()
