# SPDX-License-Identifier: MIT
"""Making envs from sources: plain data that describes how to make an env.

A source is a dict: `env` (see below), `args`, `kwargs`, `imports` (modules), `setup` (a
file or None), `portal` (bool).

=========================  ========================================================================
`"CartPole-v1"`            registered with gymnasium, or else gym
`"module:CartPole-v1"`     the same, after importing the module
`"package.module:name"`    a class or function, called with args and kwargs; also `"module:a.b"`
`"/dir/file.py:name"`      the same, of a file
`"/dir/env_main.py"`       with `portal`: a script written for Portal-Env
=========================  ========================================================================
"""

from __future__ import absolute_import, division, print_function

import difflib
import importlib
import os
import re
import sys

from .. import collector
from ..errors import SourceError, raised
from .adapt import adapt
from .agents import AgentsEnv, is_parallel
from .portal import factory_of
from .scripts import import_file, is_installed, run_script
from .vectors import check_vector_env, is_vector_env
from .wrappers import find_attribute, owns

_NAME = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
_REFUSED = re.compile(r"unexpected keyword|positional arg|takes .* arguments? |multiple values")
_LIBRARIES = ("gymnasium", "gym")
_ENTRYPOINT = "create_environment"  # of remote-gym
_VARKEYWORDS = 0x08  # flag of a function that takes any keyword arguments

_set_up = set()


def prepare(sources):
    """Runs the sources' setup files and imports their modules, each once in this process.

    Raises:
        SourceError: one of them fails.
    """
    for source in sources:
        setup = source.get("setup")
        if setup is not None and setup not in _set_up:
            _run_setup(setup)
            _set_up.add(setup)
        for name in source.get("imports") or ():
            _import(name, "imports")


def make_env(source):
    """Makes the env of a source, adapted (see adapt.py), or a vector env.

    Raises:
        SourceError: it cannot be made, or is not an env.
    """
    name = source["env"]
    args, kwargs = tuple(source.get("args") or ()), dict(source.get("kwargs") or {})
    if source.get("portal"):
        target = factory_of(name)
        collector.spare()
        env, render_mode = _call(target, args, kwargs, "the factory of %s" % name)
    elif _is_registered(name):
        env, render_mode = _make_registered(name, args, kwargs)
    else:
        target = _find(name)
        if getattr(target, "__name__", "") == _ENTRYPOINT:
            _fit_entrypoint(target, kwargs)
        collector.spare()
        env, render_mode = _call(target, args, kwargs, name)
    if is_parallel(env):
        env = AgentsEnv(env)
    if is_vector_env(env):
        try:
            check_vector_env(env, name)
        except TypeError as error:
            raise SourceError("env", str(error))
        return env
    _check(env, name)
    if render_mode is None and find_attribute(env, "render_mode") is None:
        render_mode = kwargs.get("render_mode")  # it took the argument, but has no attribute
    return adapt(env, render_mode, array_actions=bool(source.get("portal")))


def installed_libraries():
    """Returns which of gymnasium and gym this interpreter has."""
    return [name for name in _LIBRARIES if is_installed(name)]


# -- finding -------------------------------------------------------------------------------------


def _is_file(name):
    return os.path.isabs(name) or name.endswith(".py") or ".py:" in name


def _is_registered(name):
    module, colon, rest = name.partition(":")
    return not _is_file(name) and not (colon and _NAME.match(module) and _NAME.match(rest))


def _run_setup(path):
    if not os.path.isfile(path):
        raise SourceError("setup", "there is no setup file %s on the worker's side" % path)
    try:
        run_script(path)
    except (Exception, SystemExit):
        headline, trace = raised(3)
        raise SourceError("setup", "running the setup file %s: %s" % (path, headline), trace)


def _import(name, what):
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        headline, trace = raised(2)
        missing = re.search(r"No module named '?([\w.]+)", str(error))
        if isinstance(error, ImportError) and missing and _is_part(missing.group(1), name):
            raise SourceError(
                "import",
                "%s: there is no module %r for %s. Install its package there, or fix the name"
                % (what, missing.group(1), sys.executable),
                trace,
            )
        raise SourceError("import", "%s: importing %s: %s" % (what, name, headline), trace)


def _is_part(missing, name):
    """Returns whether the module itself is missing; Python 2 names the last part only."""
    return name == missing or name.startswith(missing + ".") or name.endswith("." + missing)


def _find(name):
    """Returns the class or function of a name with a colon."""
    place, _, attribute = name.rpartition(":")
    if not place:
        raise SourceError(
            "env", "%s names only a file; write %s:make for a function in it" % (name, name)
        )
    found = _import_file(place) if _is_file(place) else _import(place, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SourceError("import", _no_attribute(name, place, found, part))
        found = getattr(found, part)
    if not callable(found):
        raise SourceError(
            "env",
            "%s is %.100r, which is not callable. Name a class, or a function that makes an env"
            % (name, found),
        )
    return found


def _import_file(path):
    if not os.path.isfile(path):
        raise SourceError("import", "there is no file %s on the worker's side" % path)
    try:
        return import_file(path)
    except (Exception, SystemExit):
        headline, trace = raised(3)
        raise SourceError("import", "running %s: %s" % (path, headline), trace)


def _no_attribute(name, place, found, part):
    text = "%s: there is no %r in %s" % (name, part, place)
    close = difflib.get_close_matches(part, [n for n in dir(found) if not n.startswith("_")], 5)
    if close:
        text += "; similar names: %s" % ", ".join(close)
    if not _is_file(place):
        text += ". (An id registered by the module needs its version: %s:%s-v0)" % (
            place,
            part,
        )
    return text


# -- registered ids ------------------------------------------------------------------------------


def _make_registered(name, args, kwargs):
    module, _, env_id = name.rpartition(":")
    if module:
        _import(module, name)
    names = installed_libraries()
    if not names:
        raise SourceError(
            "import",
            "%s is the id of a registered env, but %s has neither gymnasium nor gym. Install one "
            "there, or write package.module:function or /path/file.py:function"
            % (name, sys.executable),
        )
    libraries, texts = [], []
    for library in names:
        library = _import(library, name)
        libraries.append(library)
        collector.spare()
        try:
            return _call(library.make, (env_id,) + args, kwargs, name, library.error.Error)
        except library.error.Error:
            headline, trace = raised(2)
            if env_id in registered_ids(library) or not _is_about_ids(library):
                raise SourceError("env", "making %s: %s" % (name, headline), trace)
            texts.append("%s: %s" % (_version(library), headline))
    raise SourceError("unknown-id", _unknown(env_id, libraries, texts))


def _is_about_ids(library):
    """Returns whether the exception being handled means that a library does not know the id."""
    error = library.error
    kind = sys.exc_info()[0]
    return kind is error.Error or issubclass(kind, (error.UnregisteredEnv, error.DeprecatedEnv))


def registered_ids(library):
    """Returns the ids that a gymnasium or gym knows, sorted."""
    registry = library.envs.registration.registry
    return sorted(getattr(registry, "env_specs", registry))


def _version(library):
    return "%s %s" % (library.__name__, getattr(library, "__version__", "(of unknown version)"))


def _unknown(env_id, libraries, texts):
    lower = {}
    for library in libraries:
        for known_id in registered_ids(library):
            lower.setdefault(known_id.lower(), known_id)
    close = difflib.get_close_matches(env_id.lower(), sorted(lower), 5)
    text = "no env is registered as %r with %s in %s" % (
        env_id,
        " or ".join(_version(library) for library in libraries),
        sys.executable,
    )
    if close:
        text += "; similar ids: %s" % ", ".join(lower[known_id] for known_id in close)
    text += ". If a module registers it, name the module in imports=(...).\n%s" % "\n".join(texts)
    return text


# -- calling -------------------------------------------------------------------------------------


def _call(target, args, kwargs, what, reraised=()):
    """Returns (what target makes, the render mode that it did not take or None).

    Raises:
        SourceError: it fails with an exception that is not of a type in `reraised`.
    """
    try:
        return target(*args, **kwargs), None
    except TypeError as error:
        if "render_mode" in kwargs and _refuses(error, "render_mode"):
            kwargs = dict(kwargs)
            render_mode = kwargs.pop("render_mode")
            return _call(target, args, kwargs, what, reraised)[0], render_mode
        headline, trace = raised()
        if _REFUSED.search(str(error)) and _raised_by_call():
            raise SourceError(
                "kwargs",
                "%s does not take these arguments: %s (args %.300r, kwargs %.300r)"
                % (what, headline, args, kwargs),
                trace,
            )
    except reraised:
        raise
    except (Exception, SystemExit):
        headline, trace = raised()
    raise SourceError("env", "making %s: %s" % (what, headline), trace)


def _fit_entrypoint(target, kwargs):
    """Changes the arguments of remote-gym's entrypoints to those that this one takes.

    Its servers number their envs; before 0.7 they told whether somebody wants pictures, too.
    """
    code = getattr(target, "__code__", None)
    if code is None:
        return
    names = code.co_varnames[: code.co_argcount + getattr(code, "co_kwonlyargcount", 0)]
    if "env_id" not in names and not code.co_flags & _VARKEYWORDS:
        kwargs.pop("env_id", None)
    optional = set(getattr(target, "__kwdefaults__", None) or ())
    optional.update(names[code.co_argcount - len(target.__defaults__ or ()) : code.co_argcount])
    if "enable_rendering" in names and "enable_rendering" not in optional:
        kwargs.setdefault("enable_rendering", kwargs.get("render_mode") is not None)


def _refuses(error, keyword):
    text = str(error)
    return "unexpected keyword argument" in text and "'%s'" % keyword in text


def _raised_by_call():
    """Returns whether the exception being handled comes from the call, not from the called code."""
    trace = sys.exc_info()[2]
    while trace.tb_next is not None:
        trace = trace.tb_next
    place = trace.tb_frame.f_globals.get("__name__", "")
    return place == __name__ or place.endswith(".envs.registration")


def _check(env, name):
    missing = []
    for attribute in ("reset", "step", "observation_space", "action_space"):
        try:
            getattr(env, attribute)
        except AttributeError:
            missing.append(attribute)
        except Exception:
            headline, trace = raised()
            raise SourceError("env", "the %s of %s: %s" % (attribute, name, headline), trace)
    if missing:
        raise SourceError(
            "env",
            "%s made %.100r, which is not an env: it has no %s" % (name, env, ", ".join(missing)),
        )
    if owns(env, "single_observation_space"):
        raise SourceError(
            "env",
            "%s made %.100r, a vector env, but none of Gymnasium 1.0 or newer. Name a function "
            "that makes one env" % (name, env),
        )
