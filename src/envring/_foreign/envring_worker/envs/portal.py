# SPDX-License-Identifier: MIT
"""Env directories written for Portal-Env: their env_main.py defines how envs are made."""

from __future__ import absolute_import, division, print_function

import importlib
import os
import sys

from ..errors import SourceError, raised
from .scripts import run_script

_factories = {}  # path of env_main.py -> factory

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_SHIM = os.path.join(os.path.dirname(_PACKAGE), "portal_shim")


def factory_of(path):
    """Returns the env factory that an env_main.py passes to its portal.

    The script runs on the first call.

    Args:
        path: path of env_main.py or of its directory.

    Raises:
        SourceError: it cannot be run, or starts no portal.
    """
    if os.path.isdir(path):
        path = os.path.join(path, "env_main.py")
    if path not in _factories:
        _factories[path] = _run(path)
    return _factories[path]


def _run(path):
    if not os.path.isfile(path):
        raise SourceError("import", "there is no file %s on the worker's side" % path)
    portals = _shim()
    del portals.EnvSidePortal.made[:], portals.EnvSidePortal.started[:]
    # Portal-Env's own command line: env_main.py NAME
    name = os.path.basename(os.path.dirname(os.path.realpath(path)))
    try:
        run_script(path, [name])
    except portals.Started:
        pass
    except (Exception, SystemExit) as error:
        if not portals.EnvSidePortal.started:
            headline, trace = raised(3)
            kind = "import" if isinstance(error, ImportError) else "env"
            raise SourceError(kind, "running %s: %s" % (path, headline), trace)
    found = portals.EnvSidePortal.started or portals.EnvSidePortal.made
    if not found:
        raise SourceError(
            "env",
            "%s ended without calling EnvSidePortal(env_factory=...).start(), so there is no "
            "factory to make envs with" % path,
        )
    return found[-1].env_factory


def _shim():
    """Returns the module that replaces Portal-Env's, even if that is installed."""
    ours = getattr(sys.modules.get("portal_env"), "__file__", "")
    if not ours.startswith(_SHIM):
        for name in [name for name in sys.modules if name.split(".")[0] == "portal_env"]:
            del sys.modules[name]
        sys.path.insert(0, _SHIM)
        try:
            importlib.import_module("portal_env.config")
        finally:
            sys.path.remove(_SHIM)
    if _SHIM not in sys.path:
        # children of multiprocessing import the script again, and its imports
        sys.path.append(_SHIM)
    return importlib.import_module("portal_env.env_side_portal")
