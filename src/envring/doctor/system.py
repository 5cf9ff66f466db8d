# SPDX-License-Identifier: MIT
"""Python, the compiled parts, the kernel, and what it allows this process."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import socket
import sys
import time
from pathlib import Path

from envring._foreign.envring_worker.native.library import Library, NativeUnavailable
from envring._version import __version__
from envring.core import _core
from envring.doctor.finding import MEBI, Finding, problem, size, warning
from envring.transport.sealing import make_sealed_file
from envring.workers.lifeline import LIBRARY

_MACHINES = ("x86_64", "aarch64")
_SHM = "/dev/shm"
_LEAST_SHM = 64 * MEBI  # what docker gives by default
_LEAST_FILES = 1024
_FILES_EACH = 3  # descriptors of the caller for each worker; a vector env has five more
_LEAST_PROCESSES = 256
_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_SLOW_CLOCK = 300e-9  # seconds for a look at it: more means a system call
_LOOKS = 2000


def python() -> Finding:
    """Interpreter and platform."""
    text = (
        f"envring {__version__}, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}"
    )
    if platform.python_implementation() != "CPython" or sys.version_info < (3, 11):
        return problem(text, "Use CPython 3.11 or later.")
    if platform.machine() not in _MACHINES:
        return warning(text, f"It is tested on {' and '.join(_MACHINES)} only.")
    return Finding(text)


def core() -> Finding:
    """The extension of this interpreter, and the library for others."""
    cure = "Install envring again: pip install --force-reinstall --no-cache-dir envring"
    try:
        Library(str(LIBRARY))  # it compares versions, as the extension did when it was imported
    except NativeUnavailable as error:
        return problem(str(error), cure)
    return Finding(f"{Path(_core.__file__).name} and {LIBRARY.name} load")


def kernel() -> Finding:
    """The system calls that everything rests on: pidfd_open, memfd_create and its seals."""
    release = platform.release()
    cure = "Use Linux 5.3 or later, and a container whose seccomp profile allows it."
    lacking = []
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        lacking.append(f"pidfd_open ({error.strerror})")
    try:
        os.close(make_sealed_file("envring-doctor", 4096))
    except OSError as error:
        lacking.append(f"memfd_create with seals ({error.strerror})")
    if lacking:
        return problem(f"Linux {release} refuses {', '.join(lacking)}", cure)
    return Finding(f"Linux {release} with pidfd_open, memfd_create, seals, futex")


def clock() -> Finding:
    """Whether a look at the clock is quick: waits look at it often."""
    now = time.monotonic
    least = float("inf")
    for _ in range(5):
        start = now()
        for _ in range(_LOOKS):
            now()
        least = min(least, (now() - start) / _LOOKS)
    source = "unknown"
    with contextlib.suppress(OSError):
        source = _CLOCK.read_text(encoding="ascii").strip()
    text = f"{source}, {least * 1e9:.0f} ns a look"
    if least > _SLOW_CLOCK:
        return warning(
            text, "The kernel does not trust the TSC: see dmesg; try the boot option tsc=reliable."
        )
    return Finding(text)


def limits() -> Finding:
    """Limits of this process: ulimit."""
    files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    text = (
        f"open files {_limit(files)} (a worker takes {_FILES_EACH}), "
        f"processes {_limit(processes)}, locked memory {_limit(locked, True)} (none is locked)"
    )
    if 0 <= files < _LEAST_FILES:
        raised = _limit(most_files)
        return warning(text, f"Raise the limit of open files: ulimit -n {raised} is allowed here.")
    if 0 <= processes < _LEAST_PROCESSES:
        return warning(text, "Raise the limit of processes and threads: ulimit -u 4096.")
    return Finding(text)


def _limit(value: int, is_bytes: bool = False) -> str:
    if value == resource.RLIM_INFINITY:
        return "unlimited"
    return size(value) if is_bytes else str(value)


def shm() -> Finding:
    """The file system /dev/shm, which only some things use."""
    who = "used by containers' workers and by multiprocessing's locks; segments need none of it"
    try:
        found = os.statvfs(_SHM)
    except OSError as error:
        return warning(
            f"{_SHM}: {error.strerror} ({who})",
            f"Mount it: mount -t tmpfs tmpfs {_SHM}; docker does so.",
        )
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    text = f"{size(free)} of {size(total)} free ({who})"
    if not os.access(_SHM, os.W_OK):
        return warning(f"{_SHM} cannot be written ({who})", f"Allow it: chmod 1777 {_SHM}")
    if total and free < _LEAST_SHM:
        return warning(text, f"Delete what is in {_SHM}, or give the container --shm-size=1g.")
    return Finding(text)


def port() -> Finding:
    """Whether this process can listen on loopback, as `envring serve` does."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(2.0)
            address = server.getsockname()
            with socket.create_connection(address, timeout=2.0):
                server.accept()[0].close()
    except OSError as error:
        return warning(
            f"127.0.0.1 cannot be used: {error}",
            "Bring the interface lo up (ip link set lo up), or use unix:// for envring serve.",
        )
    return Finding(f"a port of 127.0.0.1 can be opened ({address[1]} was free)")
