# SPDX-License-Identifier: MIT
"""Feeds the compiled decoder with what libFuzzer makes: `codec.py CORE LIBRARY [option ...]`.

CORE is the extension module, built so that libFuzzer sees its branches; LIBRARY is codec.c.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from typing import Any


class Instead:
    """Finds the extension module elsewhere."""

    def __init__(self, core: str) -> None:
        """At `core`."""
        self.core = core

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Finds it, and nothing else."""
        if name != "envring.core._core":
            return None
        loader = importlib.machinery.ExtensionFileLoader(name, self.core)
        return importlib.util.spec_from_file_location(name, self.core, loader=loader)


def main(core: str, library: str, *options: str) -> int:
    """Goes on until the options say that it is enough."""
    # before the module that calls into it is loaded
    fuzzer = ctypes.PyDLL(library, ctypes.RTLD_GLOBAL)
    sys.meta_path.insert(0, Instead(core))  # type: ignore[arg-type]

    from envring.errors import CodecError
    from envring.transport import codec

    assert codec._core.__file__ == core
    words = [b"codec", *map(os.fsencode, options)]
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    fuzzer.fuzz.argtypes = [ctypes.py_object, ctypes.py_object, ctypes.c_int, ctypes.c_void_p]
    return int(fuzzer.fuzz(codec.loads, CodecError, len(words), ctypes.addressof(argv)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
