# SPDX-License-Identifier: MIT
"""Warns where forked workers may hang: a fork copies locks, and no threads that could open them.

What counts was chosen for few false alarms. A Python thread counts if it runs at that moment, not
if it waits for another thread, a queue or a socket: then it holds none of the interpreter's locks,
and loggers, progress bars and notebooks have such threads all the time. Native threads do not count
as such, because those of BLAS and OpenMP libraries are handled (`blas.py`); drivers do that are in
use, which none survives a fork.
"""

from __future__ import annotations

import re
import sys
import threading
import warnings

# where the innermost frame of a thread is that waits
_WAITING = {
    *("selectors", "socket", "multiprocessing", "concurrent"),
    *("execnet", "zmq", "ipykernel", "debugpy", "_pydevd_bundle"),
}
_WAITS = {"wait", "join", "_wait_for_tstate_lock"}  # functions of threading
_DRIVERS = {  # what all have to be mapped
    "EGL is in use": (r"/libEGL[._]", r"_dri\.so|/libgallium|/libnvidia-eglcore"),
    "CUDA is in use": (r"/libcuda\.so", r" /dev/nvidia"),
}
_said: set[str] = set()


def warn_of_hazards(blas_threads: int | None) -> None:
    """Warns, once for each, of what is alive in this process and may hang forked workers.

    Args:
        blas_threads: the most that workers are to use in torch, None for any number.
    """
    threads = running_threads()
    found = {"threads": f"other threads run ({', '.join(threads)})"} if threads else {}
    found.update((driver, driver) for driver in drivers_in_use(_maps()))
    if blas_threads != 1 and torch_has_threads():
        found["torch"] = "torch uses several threads, as worker_env lets workers do,"
    new = [what for kind, what in found.items() if kind not in _said]
    if not new:
        return
    _said.update(found)
    warnings.warn(
        f"Workers are forked while {' and '.join(new)} in this process. A forked worker may hang: "
        "it has copies of locks that nobody will release, and of drivers that it cannot use. "
        "Pass context='forkserver', whose workers start from a clean process.",
        RuntimeWarning,
        stacklevel=3,
    )


def running_threads() -> list[str]:
    """Names of the Python threads that run, other than this one and those of this package."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    running = []
    frames = sys._current_frames()
    # this function's own frame would hold itself, and with it the vector env that is being made
    del frames[threading.get_ident()]
    for ident, frame in frames.items():
        name = names.get(ident, f"thread {ident}")
        module = str(frame.f_globals.get("__name__")).partition(".")[0]
        waits = frame.f_code.co_name in _WAITS if module == "threading" else module in _WAITING
        if not waits and not name.startswith("envring-"):
            running.append(repr(name))
    return sorted(running)


def torch_has_threads() -> bool:
    """Whether torch is here and may have started threads, for which a forked process waits."""
    count = getattr(sys.modules.get("torch"), "get_num_threads", None)
    return count is not None and count() > 1


def drivers_in_use(maps: str) -> list[str]:
    """What a process with these mappings uses that no fork survives.

    Args:
        maps: the text of /proc/PID/maps.
    """
    return [
        what
        for what, patterns in _DRIVERS.items()
        if all(re.search(pattern, maps) for pattern in patterns)
    ]


def _maps() -> str:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            return maps.read()
    except OSError:
        return ""
