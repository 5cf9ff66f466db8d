# SPDX-License-Identifier: MIT
"""Running Python files as `python file.py` would, and importing them by their paths."""

from __future__ import absolute_import, division, print_function

import io
import os
import re
import sys
import types

_loaded = {}  # path -> module


def is_installed(name):
    """Returns whether a top-level module of that name can be found."""
    if name in sys.modules:
        return True
    if sys.version_info[0] == 2:
        import pkgutil

        return pkgutil.find_loader(name) is not None
    from importlib.util import find_spec

    return find_spec(name) is not None


def import_file(path):
    """Returns the module that a file defines; the file runs on the first call.

    Children that an env starts with multiprocessing can import it under its file name, unless
    another module has that name.
    """
    path = os.path.realpath(path)
    module = _loaded.get(path)
    if module is None:
        name = re.sub(r"\W", "_", os.path.splitext(os.path.basename(path))[0])
        if is_installed(name):
            name = "%s_%d" % (name, len(_loaded))
        module = _loaded[path] = types.ModuleType(name)
        try:
            _run(path, module)
        except BaseException:
            del _loaded[path]
            sys.modules.pop(name, None)
            raise
    return module


def run_script(path, arguments=()):
    """Runs a file as the main module, which it stays; a successful `sys.exit()` just ends it."""
    module = types.ModuleType("__main__")
    sys.argv[:] = [path] + list(arguments)
    try:
        _run(path, module)
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            raise
    return module


def _run(path, module):
    with io.open(path, "rb") as file:
        source = file.read()
    module.__file__ = path
    directory = os.path.dirname(path)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    sys.modules[module.__name__] = module
    # bytes: a line of the file declares its encoding
    exec(compile(source, path, "exec", 0, True), module.__dict__)
