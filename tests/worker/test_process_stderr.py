# SPDX-License-Identifier: MIT
"""What envs print in a worker process: it harms nobody, and is passed on and kept."""

from __future__ import annotations

import os

import pytest

from envring.core import _core
from support.foreign_prefixes import VERSIONS
from worker.caller import LIBRARY, Caller, source

OLD_NEW = pytest.mark.parametrize("version", ["2.7", "3.6", "3.13"])
LINES = sorted(
    ["print", "write gr\xf6\xdfe", "to stderr gr\xf6\xdfe", "descriptor", "a child", "from C"]
)


@pytest.fixture
def python(version, foreign_python) -> str:
    return foreign_python(version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("captures", "locale"), [(True, "C"), (False, "C.UTF-8")], ids=["captured", "as it is"]
)
def test_prints_reach_stderr_and_not_the_channel(python, captures, locale):
    with Caller(
        python,
        [source("Printing")],
        library=LIBRARY if captures else None,
        captures=captures,
        environ={"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ) as caller:
        caller.up()
        for step in range(3):
            assert caller.step(step) is None
            assert caller.rewards.tolist() == [step]
        assert caller.call("read") == [""]
        caller.close_envs()
        assert caller.wait() == 0
        lines = caller.tail().splitlines()
        assert sorted(lines) == sorted([*LINES * 3, "closed an env"])
        if captures:
            # all but what the thread had no time for went on already
            passed = caller.passed_on().splitlines()
            assert passed and passed == lines[: len(passed)]


@OLD_NEW
def test_the_tail_is_the_end_of_much(python):
    count = 20_000
    with Caller(python, [source("Counting")]) as caller:
        caller.up()
        with open(caller.shown, "rb", closefd=False) as shown:
            caller.begin(_core.OP_MESSAGE, "call", "say", (count,), {})
            # whoever does not read holds the env up, and loses nothing
            for line in range(count):
                assert shown.readline() == b"line %d\n" % line
        assert not caller.finish()["failures"]
        caller.close_envs()
        assert caller.wait() == 0
        lines = caller.tail().splitlines()
        assert lines[-3:] == [f"line {count - 2}", f"line {count - 1}", "closed an env"]
        assert lines[0] == f"line {count - len(lines) + 1}" and len(lines) == 150


@OLD_NEW
def test_nobody_listens_to_what_is_passed_on(python):
    with Caller(python, [source("Counting")]) as caller:
        os.close(caller.shown)
        caller.shown = os.open(os.devnull, os.O_RDONLY)
        caller.up()
        assert caller.call("say", 5000) == [None]
        caller.close_envs()
        assert caller.wait() == 0
        assert caller.tail().endswith("line 4999\nclosed an env")


@OLD_NEW
def test_the_callers_own_additions_to_the_tail_stay(python):
    """What came before the handshake on another way is kept beside."""
    with Caller(python, [source("Counting")]) as caller:
        caller.ready()
        caller.errors.pass_on(b"of a wrapper\n")
        assert caller.attach() == ("attached",)
        caller.call("say", 1)
        caller.close_envs()
        assert caller.wait() == 0
        assert caller.tail() == "of a wrapper\nline 0\nclosed an env"


@OLD_NEW
def test_nowhere_to_pass_it_on(python):
    """The caller's stderr is closed: the tail is kept all the same."""
    caller = Caller(python, [source("Counting")])
    with caller:
        caller.config["stderr"]["pass_on"] = -1
        caller.up()
        caller.call("say", 2)
        caller.close_envs()
        assert caller.wait() == 0
        assert caller.tail() == "line 0\nline 1\nclosed an env"


@OLD_NEW
def test_stderr_that_is_closed(python):
    script = 'exec "$@" 2>&-'
    with Caller(
        "/bin/sh",
        [source("Printing")],
        argv=["-c", script, "sh", python, "-s", "-u"],
        captures=False,
    ) as caller:
        caller.up()
        assert caller.step(4) is None
        assert caller.rewards.tolist() == [4]
        caller.close_envs()
        assert caller.wait() == 0
