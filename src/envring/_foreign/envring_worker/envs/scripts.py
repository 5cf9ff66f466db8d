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
    """Whether a top-level module of that name can be found."""
    if name in sys.modules:
        return True
    if sys.version_info[0] == 2:
        import pkgutil

        return pkgutil.find_loader(name) is not None
    from importlib.util import find_spec

    return find_spec(name) is not None


def import_file(path):
    """The module that a file defines, run on the first call.

    It can be imported under its own name by what an env starts with multiprocessing, unless
    something else is called so.
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
    """Runs a file as the main module, which it stays. A `sys.exit()` ends it like its last line."""
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
    # bytes: the file's own line says its encoding
    exec(compile(source, path, "exec", 0, True), module.__dict__)
