# SPDX-License-Identifier: MIT
"""One BLAS or OpenMP thread per worker: workers share the cores already.

Environment variables reach libraries that load later. Libraries that a forked worker inherits are
told directly.
"""

from __future__ import annotations

import ctypes
import re

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_LIBRARY = re.compile(r"(/\S*(?:openblas|libgomp|libomp|libiomp|mkl_rt)\S*)")
_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
    "MKL_Set_Num_Threads",
    "omp_set_num_threads",
)


def limit_loaded_libraries(count: int) -> None:
    """Tells every BLAS or OpenMP library of this process how many threads to use."""
    try:
        with open("/proc/self/maps") as maps:
            paths = set(_LIBRARY.findall(maps.read()))
    except OSError:
        return
    for path in paths:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in _SETTERS:
            setter = getattr(library, name, None)
            if setter is not None:
                setter(ctypes.c_int(count))
