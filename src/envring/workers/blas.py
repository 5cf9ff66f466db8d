# SPDX-License-Identifier: MIT
"""One BLAS or OpenMP thread per worker: workers share the cores already.

Environment variables reach libraries that a worker loads later. A forked worker inherits libraries
as they are, so these are set before the fork and set back after it: set in the worker, OpenBLAS
would start a thread first, which spins for a tenth of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from typing import Any

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_LIBRARIES = ("openblas", "libgomp", "libomp", "libiomp", "mkl_rt")
_CALLS = (  # getter, setter
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("omp_get_max_threads", "omp_set_num_threads"),
)


@contextlib.contextmanager
def limited(count: int | None) -> Iterator[None]:
    """While this lasts, loaded BLAS and OpenMP libraries use `count` threads; None: as they are."""
    restore = [] if count is None else limit(count)
    try:
        yield
    finally:
        for restored, before in reversed(restore):
            restored(before)


def limit(count: int) -> list[tuple[Callable[[int], Any], int]]:
    """Has loaded BLAS and OpenMP libraries use `count` threads; returns what sets them back."""
    restore: list[tuple[Callable[[int], Any], int]] = []
    # MKL inside of libtorch waits for threads that a forked worker does not have.
    torch = sys.modules.get("torch")
    set_threads = getattr(torch, "set_num_threads", None)
    if torch is not None and set_threads is not None and torch.get_num_threads() != count:
        restore.append((set_threads, torch.get_num_threads()))
        set_threads(count)
    for path in _loaded():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for getter, setter in _CALLS:
            get, set_ = getattr(library, getter, None), getattr(library, setter, None)
            if get is not None and set_ is not None and get() != count:
                restore.append((_with_int(set_), get()))
                set_(ctypes.c_int(count))
    return restore


def _with_int(function: Any) -> Callable[[int], None]:
    return lambda number: function(ctypes.c_int(number))


def _loaded() -> set[str]:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            maps = file.read()
    except OSError:
        return set()
    # found like this because there are thousands of lines: a regular expression takes 5 ms
    lines = {maps[maps.rfind("\n", 0, at) : maps.find("\n", at)] for at in _mentions(maps)}
    return {line[line.index("/") :] for line in lines if "/" in line}


def _mentions(maps: str) -> Iterator[int]:
    for name in _LIBRARIES:
        at = maps.find(name)
        while at >= 0:
            yield at
            at = maps.find(name, at + 1)
