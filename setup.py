# SPDX-License-Identifier: MIT
"""What pyproject.toml cannot say: the Cython extension and the plain C library beside it.

Environment switches, for developers:

* ``ENVRING_SANITIZE=address,undefined`` builds both with these sanitizers.
* ``ENVRING_DEBUG=1`` builds unoptimised with debug information and defines ``ENVRING_DEBUG``.
"""

import os
import sys
from glob import glob

if not sys.platform.startswith("linux"):
    sys.exit(
        "envring runs on Linux only: its workers share memory through memfd and sleep on futexes, "
        f"which {sys.platform} does not have. Use gymnasium.vector.AsyncVectorEnv there."
    )
if sys.version_info < (3, 11):
    sys.exit(
        "envring needs Python 3.11 or newer in the calling process; "
        f"this is {sys.version_info[0]}.{sys.version_info[1]}."
    )

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SANITIZE = os.environ.get("ENVRING_SANITIZE", "")
DEBUG = os.environ.get("ENVRING_DEBUG", "") not in ("", "0")


class PlainLib(Extension):
    """A C library without a module's init function, loaded with ctypes by any interpreter."""


class BuildExt(build_ext):
    """Builds extension modules and plain libraries from the same C sources."""

    def get_export_symbols(self, ext):
        # the default asks the linker for PyInit_<name>
        return ext.export_symbols if isinstance(ext, PlainLib) else super().get_export_symbols(ext)

    def get_ext_filename(self, fullname):
        if isinstance(self.ext_map.get(fullname), PlainLib):
            return os.path.join(*fullname.split(".")) + ".so"  # no interpreter's tag: all load it
        return super().get_ext_filename(fullname)

    def build_extension(self, ext):
        # both are built from csrc, with different flags: objects must not be shared
        shared_temp = self.build_temp
        self.build_temp = os.path.join(shared_temp, ext.name)
        try:
            super().build_extension(ext)
        finally:
            self.build_temp = shared_temp


def flags(visibility):
    """The keyword arguments that both targets are compiled with."""
    compiler = ["-std=c11", f"-fvisibility={visibility}", "-Wall", "-Wextra"]
    compiler += ["-O0", "-g3", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"]
    linker = []
    if SANITIZE:
        compiler += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g"]
        linker += [f"-fsanitize={SANITIZE}"]
    return {
        "extra_compile_args": compiler,
        "extra_link_args": linker,
        "define_macros": [("ENVRING_DEBUG", "1")] if DEBUG else [],
        "depends": sorted(glob("csrc/*.h")),
    }


csrc = sorted(glob("csrc/*.c"))
core = Extension(
    "envring.core._core",
    ["src/envring/core/_core.pyx", *csrc],
    include_dirs=["csrc", numpy.get_include()],
    **flags("hidden"),
)
core.define_macros.append(("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"))
# these are the caller's; the watch's threads need a newer libc than other interpreters may have
of_callers = ("csrc/er_flow.c", "csrc/er_link.c", "csrc/er_watch.c")
of_workers = [path for path in csrc if path not in of_callers]
worker_library = PlainLib(
    "envring._foreign.libenvring", of_workers, include_dirs=["csrc"], **flags("default")
)

setup(
    ext_modules=[
        *cythonize([core], build_dir="build/cython", compiler_directives={"language_level": 3}),
        worker_library,
    ],
    cmdclass={"build_ext": BuildExt},
)
