# SPDX-License-Identifier: MIT
"""Describes a worker's envs to the caller, as plain data."""

from __future__ import absolute_import, division, print_function

import inspect
import sys

import numpy as np

from ..data import codec
from ..errors import SourceError
from .spaces import SpaceError, describe_space
from .vectors import vectors_of

_LIBRARIES = ("gymnasium", "gym")


def describe(envs):
    """Returns the distinct spaces; metadata, render mode and spec of the first env.

    Returns:
        A dict for the codec: `observation_spaces` and `action_spaces` (distinct space
        data, index into these per env), `metadata`, `render_mode`, `spec` (dict or None),
        `gym` ("gym 0.21.0" or None), `numpy` (its version), `vectors` (see vectors_of).

    Raises:
        SourceError: a space cannot be described.
    """
    first = envs[0]
    vectors = vectors_of(envs)
    return {
        "observation_spaces": _spaces_of_rows(envs, vectors, "observation_space"),
        "action_spaces": _spaces_of_rows(envs, vectors, "action_space"),
        "vectors": vectors,
        "metadata": _sendable(first.metadata or {}),
        "render_mode": first.render_mode if _is_sendable(first.render_mode) else None,
        "spec": _spec(first.spec),
        "gym": _library_of(first),
        "numpy": np.__version__,
    }


def _spaces_of_rows(envs, vectors, name):
    if vectors is None:
        return distinct_spaces(envs, name)
    kinds, which = distinct_spaces(envs, "single_" + name)
    return kinds, [kind for kind, (count, _) in zip(which, vectors) for _ in range(count)]


def distinct_spaces(envs, name):
    """Returns (distinct data of the envs' spaces of that name, index into these per env).

    Raises:
        SourceError: a space cannot be described.
    """
    kinds, which, seen = [], [], {}
    for i, env in enumerate(envs):
        try:
            data = describe_space(getattr(env, name))
            _refuse_own(data, name.endswith("observation_space"), False)
            key = codec.pack(data)
        except (SpaceError, codec.Unsendable) as error:
            text = "%s%s: %s" % (name.replace("_", " "), error.path, error.reason)
            raise SourceError("space", text, env=i)
        if key not in seen:
            seen[key] = len(kinds)
            kinds.append(data)
        which.append(seen[key])
    return kinds, which


def _refuse_own(data, observed, within, path=()):
    """Refuses custom spaces, except as parts of an observation, whose values are sent unchanged.

    Raises:
        SpaceError: there is a custom space elsewhere.
    """
    kind = data[0]
    if kind == "other" and not (observed and within):
        raise SpaceError(
            path,
            "a %s cannot be described to another interpreter. Use Box, Discrete, MultiBinary, "
            "MultiDiscrete, Text, Tuple, Dict, Sequence, Graph or OneOf, or run the env in the "
            "caller's own interpreter" % data[1],
        )
    if kind in ("sequence", "graph"):
        for child in data[1:]:
            if isinstance(child, tuple):
                _refuse_own(child, observed, False, path + ("...",))
    elif kind in ("dict", "tuple", "one_of"):
        for step, child in data[1] if kind == "dict" else enumerate(data[1]):
            _refuse_own(child, observed, kind != "one_of", path + (step,))


def _is_sendable(value):
    try:
        codec.pack(value)
    except codec.Unsendable:
        return False
    return True


def _sendable(values):
    """Returns the items of a dict that can be sent to another interpreter."""
    return dict(item for item in values.items() if _is_sendable(item))


def _spec(spec):
    """Returns the portable part of an EnvSpec of any version, or None."""
    if spec is None or getattr(spec, "id", None) is None:
        return None
    entry_point = getattr(spec, "entry_point", None)
    values = {
        "id": spec.id,
        "entry_point": entry_point if isinstance(entry_point, str) else None,
        "reward_threshold": getattr(spec, "reward_threshold", None),
        "nondeterministic": bool(getattr(spec, "nondeterministic", False)),
        "max_episode_steps": getattr(spec, "max_episode_steps", None),
        "kwargs": _sendable(getattr(spec, "kwargs", None) or getattr(spec, "_kwargs", None) or {}),
    }
    return _sendable(values)


def _library_of(env):
    """Returns the library that an env's class comes from, with its version, or None."""
    for cls in inspect.getmro(getattr(env, "env", env).__class__):
        library = cls.__module__.split(".")[0]
        if library in _LIBRARIES:
            return "%s %s" % (library, getattr(sys.modules[library], "__version__", "unknown"))
    return None
