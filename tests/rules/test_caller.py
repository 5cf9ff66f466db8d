# SPDX-License-Identifier: MIT
"""Scripts in processes of their own: what they print is not lost, however it comes."""

import time

import pytest

from support.processes import Caller


def printing(*pieces: bytes) -> Caller:
    """A process that writes these, and stays until it is told to end."""
    return Caller(
        f"import os, sys\nfor piece in {pieces}: os.write(1, piece)\nsys.stdin.readline()"
    )


def test_two_lines_at_once():
    with printing(b"one\ntwo\nrest") as caller:
        assert caller.line() == "one"
        assert caller.line(5) == "two"
        code, out, _ = caller.finish()
    assert (code, out) == (0, "rest")


def test_half_a_line():
    with printing(b"half") as caller:
        began = time.monotonic()
        with pytest.raises(AssertionError, match="printed nothing for 2 s"):
            caller.line(2)
        assert time.monotonic() - began < 10
        assert caller.finish()[1] == "half"


def test_the_end():
    with Caller("print('last')\nraise SystemExit('it is over')") as caller:
        assert caller.line() == "last"
        with pytest.raises(AssertionError, match="it is over"):
            caller.line()
