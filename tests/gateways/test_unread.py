# SPDX-License-Identifier: MIT
"""A host goes on, whether anybody reads what it prints or not."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import envring
from envring.cli.lines import Lines
from support.processes import wait_until


def full_pipe():
    """Both ends of a pipe that has no room."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write_end, b"x" * 512):
            pass
    with contextlib.suppress(BlockingIOError):
        while os.write(write_end, b"x"):
            pass
    os.set_blocking(write_end, True)
    return read_end, write_end


def read_what_is_there(fd):
    os.set_blocking(fd, False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(fd, 1 << 16):
            data += piece
    return data


@pytest.mark.parametrize("streams", [{"stderr"}, {"stdout", "stderr"}], ids=len)
def test_a_host_whose_output_nobody_reads(streams):
    """Sessions go on, others begin, it says that it is well, and it ends as it is told."""
    read_end, write_end = full_pipe()
    ready, theirs = os.pipe()
    argv = [sys.executable, "-m", "envring.cli", "serve", "CartPole-v1", "--metrics", "0"]
    argv += ["--listen", "tcp://127.0.0.1:0", "--ready-fd", str(theirs)]
    ends = {
        name: write_end if name in streams else subprocess.DEVNULL for name in ("stdout", "stderr")
    }
    process = subprocess.Popen(argv, pass_fds=[theirs], **ends)
    os.close(theirs)
    os.close(write_end)
    try:
        with open(ready) as file:
            url, metrics = file.read().split()
        for _ in range(2):
            envs = envring.make_vec("CartPole-v1", 2, remotes=url, num_workers=1)
            envs.reset()
            for _ in range(5):
                with pytest.raises(envring.HostRefused):
                    envring.make_vec("MountainCar-v0", 1, remotes=url)
            envs.step(np.zeros(2, int))
            envs.close()
        connection = http.client.HTTPConnection(metrics.removeprefix("http://"), timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(read_end)


class TestLines:
    def test_they_come_in_order(self):
        read_end, write_end = os.pipe()
        lines = Lines(write_end)
        for number in range(500):
            lines.put(f"line {number} \udc80")
        lines.close()
        os.close(write_end)
        with open(read_end, "rb") as file:
            assert file.read().decode().splitlines() == [f"line {i} \\udc80" for i in range(500)]

    def test_those_that_are_dropped_are_counted(self):
        read_end, write_end = full_pipe()
        lines = Lines(write_end)
        for number in range(1500):
            lines.put(f"line {number}")
        lines.close(0.1)  # nobody reads: it gives up
        shown = read_what_is_there(read_end).lstrip(b"x")

        def read():
            nonlocal shown
            shown += read_what_is_there(read_end)
            return b"line 999\n" in shown

        wait_until(read, 10, "what waited was written")
        assert b"lines were dropped: nobody read them" in shown
        dropped = int(shown.partition(b" lines were")[0].rpartition(b"\n")[2])
        assert 1500 - 1001 <= dropped <= 1500 - 1000
        lines.close()
        os.close(write_end)
        os.close(read_end)

    def test_nobody_is_there(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        lines = Lines(write_end)
        lines.put("to nobody")
        lines.close()
        os.close(write_end)
