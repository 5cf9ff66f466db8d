# SPDX-License-Identifier: MIT
"""Workloads of the caller's own: ids that Gymnasium knows, and `module:callable`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re

import gymnasium

from envring.bench.workloads.base import Workload

_VERSIONED = re.compile(r".+-v\d+$")
# Which package registers a namespace when it is imported, and what pip calls it.
_NAMESPACES = {"ALE": ("ale_py", "ale-py")}
# What the envs of Gymnasium need besides it, by the folder they are in.
_FOLDERS = {
    "gymnasium.envs.mujoco": ("mujoco", "gymnasium[mujoco]"),
    "gymnasium.envs.box2d": ("Box2D", "gymnasium[box2d]"),
}


def is_id(name: str) -> bool:
    """Whether `name` can only be the id of a registered env, by the way it is written."""
    return "/" in name or _VERSIONED.match(name) is not None


def registered(name: str) -> Workload | None:
    """The env that is registered as `name`: `Id-v0`, `Namespace/Id-v0`, `package:Id-v0`.

    Returns:
        None if nothing is registered by that name. A workload whose `absent` says what to install
        if a package has to be installed first.

    Raises:
        ValueError: if the package in front of the colon cannot be imported.
    """
    module, colon, key = name.rpartition(":")
    if colon:
        _import(name, module)
    made = name
    needs, requirement = _NAMESPACES.get(key.partition("/")[0], (None, ""))
    if needs is not None and not colon:
        made = f"{needs}:{key}"  # so that a spawned worker imports it, too
        if importlib.util.find_spec(needs) is not None:
            importlib.import_module(needs)
    spec = gymnasium.registry.get(key)
    if spec is None and (needs is None or importlib.util.find_spec(needs) is not None):
        return None
    if spec is not None and isinstance(spec.entry_point, str) and needs is None:
        folder = ".".join(spec.entry_point.partition(":")[0].split(".")[:3])
        needs, requirement = _FOLDERS.get(folder, (None, ""))
    return Workload(
        name,
        key,
        functools.partial(gymnasium.make, made),
        endless=False,
        needs=needs,
        requirement=requirement,
        groups=("real",),
    )


def loaded(name: str) -> Workload:
    """The env that `module:callable` builds.

    Raises:
        ValueError: if the module cannot be imported, or has no such callable.
    """
    module, _, attribute = name.partition(":")
    try:
        make = getattr(_import(name, module), attribute)
    except AttributeError as error:
        raise ValueError(f"workload {name!r} cannot be loaded: {error}") from error
    if not callable(make):
        raise ValueError(f"workload {name!r} is not callable; name a function that builds one env")
    return Workload(name, name, make, endless=False)


def _import(name: str, module: str) -> object:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"workload {name!r} cannot be loaded: {error}") from error
