# SPDX-License-Identifier: MIT
"""Setup files: run once, in the finished prefix."""

import contextlib
import os
import pty
import sys

import pytest

from envring.errors import SolveError, SpecError
from envring.launchers.micromamba import Micromamba
from envring.prefixes import cache
from prefixes.solving import BUILDER


def test_setup_is_run_once_in_the_prefix(solving, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/callers/own")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    (solving.directory / "env").mkdir()
    setup = solving.directory / "env/env_setup.py"
    setup.write_text(
        "import os, sys\n"
        "assert not {'PYTHONPATH', 'PIP_TARGET'} & set(os.environ)\n"
        "assert os.path.exists('env_setup.py')\n"
        "print('setting up')\n"
        "open(os.environ['CONDA_PREFIX'] + '/was_set_up', 'a').write('once')\n"
    )
    launcher = Micromamba(solving.spec(name="env/spec.yml"), setup)
    entry, ready = launcher.obtain()
    launcher.obtain()
    assert (entry.prefix / "was_set_up").read_text() == "once"
    assert ready.setup == str(setup)
    assert "setting up" in entry.log.read_text()


def test_setup_that_fails(solving):
    setup = solving.directory / "env_setup.py"
    setup.write_text("print('half way')\nraise OSError('no ROMs')\n")
    with pytest.raises(
        SolveError, match=r"setup file '.*env_setup.py' failed with exit code 1"
    ) as e:
        Micromamba(solving.spec(), setup).obtain()
    assert e.value.tail.endswith("OSError: no ROMs")
    (entry,) = cache.entries()
    assert entry.state() == "failed"
    assert not entry.prefix.exists()
    setup.write_text("")
    Micromamba(solving.spec(), setup).obtain()


def test_setup_may_ask_on_the_terminal(solving):
    """Question and answer go over a terminal; the log has both, and a failure shows them."""
    setup = solving.directory / "env_setup.py"
    setup.write_text(
        "answer = input('Accept the licence? ')\n"
        "open('/dev/tty').close()\n"
        "assert answer == 'yes', 'not accepted'\n"
        "print('accepted')\n"
    )
    spec = solving.spec()
    for answer in ("no", "yes"):
        pid, terminal = pty.fork()
        if pid == 0:
            argv = [sys.executable, "-c", BUILDER, spec, str(setup)]
            os.execve(sys.executable, argv, os.environ | solving.variables)
        try:
            said = b""
            with contextlib.suppress(OSError):  # the other end is closed
                while data := os.read(terminal, 4096):
                    if b"licence? " in data and b"licence? " not in said:
                        os.write(terminal, f"{answer}\n".encode())
                    said += data
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)
        (entry,) = cache.entries()
        assert "Accept the licence? " in entry.log.read_text()
        if answer == "no":
            assert b"AssertionError: not accepted" in said and b"SolveError" in said
    assert "accepted\n" in entry.log.read_text()
    assert entry.ready()


def test_setup_that_is_not_there(solving):
    with pytest.raises(SpecError, match="gone.py' cannot be read: No such file"):
        Micromamba(solving.spec(), solving.directory / "gone.py").obtain()
