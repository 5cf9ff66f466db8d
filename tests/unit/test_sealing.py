# SPDX-License-Identifier: MIT
"""Shared files keep their size, whoever holds a descriptor; and descriptors may be many."""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Iterator

import pytest

from envring.transport.polling import readable, writable
from envring.transport.sealing import make_file, make_sealed_file, seal_size
from envring.transport.segment import SegmentFile
from envring.workers.stderr import StderrPipe, Tail


@pytest.fixture
def sealed() -> Iterator[int]:
    fd = make_sealed_file("envring-test", 8192)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("size", [0, 4096, 16384])
def test_no_descriptor_changes_the_size(sealed: int, size: int) -> None:
    again = os.open(f"/proc/self/fd/{sealed}", os.O_RDWR)
    try:
        for fd in (sealed, again):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
    finally:
        os.close(again)
    assert os.fstat(sealed).st_size == 8192


def test_memory_can_still_be_reserved_and_written(sealed: int) -> None:
    os.posix_fallocate(sealed, 0, 8192)
    with mmap.mmap(sealed, 8192) as memory:
        memory[8191] = 7
    assert os.pread(sealed, 1, 8191) == b"\7"


def test_a_file_that_somebody_sealed_before_is_an_error() -> None:
    import fcntl

    fd = make_file("envring-test")
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        with pytest.raises(OSError, match="not permitted"):
            seal_size(fd, 4096)
    finally:
        os.close(fd)


def test_segments_without_a_name_are_sealed() -> None:
    file = SegmentFile()
    file.resize(4096)
    with pytest.raises(PermissionError):
        os.ftruncate(file.fd, 0)
    file.close()


@pytest.mark.parametrize("count", [1 << 62, (1 << 64) - 1, 5, 0])
def test_nonsense_in_the_buffer_of_stderr_is_no_error(count: int) -> None:
    pipe = StderrPipe()
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(pipe.tail_fd, 0)
        os.pwrite(pipe.tail_fd, count.to_bytes(8, "little") + os.urandom(1 << 15), 0)
        pipe.started()
        pipe.drain()
        Tail(pipe._memory).append(b"x" * (1 << 15))
        assert "x" in pipe.drain()
    finally:
        pipe.close()


def test_descriptors_beyond_a_thousand() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("no more than 2,000 descriptors here: those beyond 1,024 stay unchecked")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    read_end, write_end = os.pipe()
    fds = [os.dup(read_end) for _ in range(1100)]
    try:
        high = fds[-1]
        assert high >= 1024
        assert readable([high], 0) == set()
        assert writable(write_end, 0)
        os.write(write_end, b"x")
        assert readable([high], 1.0) == {high}
    finally:
        for fd in (*fds, read_end, write_end):
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
