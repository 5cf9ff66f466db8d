# SPDX-License-Identifier: MIT
"""What a worker that was killed while it passed on its stderr leaves to its caller."""

import os
import struct

import pytest

from envring.workers import stderr


@pytest.fixture
def pipe():
    pipe = stderr.StderrPipe()
    yield pipe
    pipe.close()


def leave(pipe, data, kept, passed):
    """As the worker's memory is between two instructions of `er_stderr_capture`."""
    memory = memoryview(stderr._core.SharedBytes(pipe.tail_fd, stderr._STACK))
    memory[stderr._INCOMING : stderr._INCOMING + len(data)] = data
    struct.pack_into("<II", memory, 8, kept, passed)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 9000])
def test_bytes_that_were_read_and_not_kept_are_shown_and_kept(pipe, size, capfd):
    data = (b"lines of some length\n" * 500)[:size]
    leave(pipe, data, 0, 0)
    pipe.started()
    assert pipe.drain().splitlines() == data.decode().splitlines()[-stderr._SHOWN_LINES :]
    assert capfd.readouterr().err == data.decode()
    pipe.drain()
    assert capfd.readouterr().err == "", "shown once"


def test_bytes_that_were_kept_are_passed_on_from_where_the_worker_stopped(pipe, capfd):
    leave(pipe, b"first second", 12, 6)
    pipe.started()
    pipe.drain()
    assert capfd.readouterr().err == "second"


def test_what_the_pipe_still_holds_comes_behind(pipe, capfd):
    leave(pipe, b"one ", 0, 0)
    os.write(pipe.write_end, b"two")
    pipe.started()
    assert pipe.drain() == "one two"
    assert capfd.readouterr().err == "one two"
