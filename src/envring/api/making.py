# SPDX-License-Identifier: MIT
"""Envs by id: `make`, `make_vec`, and Gymnasium ids that lead to them."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from envring.api.single import RingEnv
from envring.api.vector import RingVectorEnv
from envring.errors import SourceError
from envring.launchers.sources import EnvSource

NAMESPACE = "envring"
_DIRECTORIES = ("dir:", "recipe:")


def _option_names(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(list(inspect.signature(function).parameters)[1:])


_VECTOR_OPTIONS = _option_names(RingVectorEnv)
_SINGLE_OPTIONS = _option_names(RingEnv)


def _find(id: Any) -> str | EnvSpec:
    """The spec of an id, so that workers need not have it registered; or the id itself."""
    if isinstance(id, EnvSpec):
        return copy.deepcopy(id)
    whole: str = id
    name = whole
    if ":" in name:
        module, name = name.split(":", 1)
        importlib.import_module(module)
    try:
        return copy.deepcopy(gymnasium.spec(name))
    except gymnasium.error.Error:
        return whole  # unversioned, or unknown: gymnasium.make has the better error


def _source(
    id: str | EnvSpec | EnvSource, options: dict[str, Any], kwargs: dict[str, Any]
) -> EnvSource | None:
    """The env as data if it runs in another interpreter; takes its arguments out of kwargs."""
    if isinstance(id, EnvSource):
        if kwargs:
            raise SourceError(f"an EnvSource takes its own kwargs; not known here: {list(kwargs)}")
        return id
    launcher = options.get("launcher")
    remotes = options.get("remotes")
    if remotes is not None and not isinstance(remotes, int) and isinstance(id, str):
        args, env_kwargs = kwargs.pop("env_args", ()), kwargs.pop("env_kwargs", {})
        return EnvSource.elsewhere(id, args, {**env_kwargs, **kwargs})
    opened: dict[str, Any] = {}
    if any(isinstance(each, str) and each.startswith(_DIRECTORIES) for each in (id, launcher)):
        opened = {name: kwargs.pop(name) for name in ("sandbox", "solver") if name in kwargs}
    if isinstance(id, str) and id.startswith(_DIRECTORIES):
        args, env_kwargs = kwargs.pop("env_args", ()), kwargs.pop("env_kwargs", {})
        if kwargs:
            raise SourceError(
                f"Arguments of an env directory go into env_args and env_kwargs; not known: "
                f"{list(kwargs)}"
            )
        return EnvSource(id, args=args, kwargs=env_kwargs, launcher=launcher, **opened)
    if launcher is None and (remotes is None or isinstance(remotes, int)):
        return None
    if isinstance(id, EnvSpec):
        kwargs, id = {**id.kwargs, **kwargs}, id.id
    own: dict[str, Any] = {
        name: kwargs.pop(name) for name in ("imports", "setup") if name in kwargs
    }
    args = kwargs.pop("env_args", ())
    env_kwargs = {**kwargs.pop("env_kwargs", {}), **kwargs}
    if opened:
        own |= {"launcher": launcher, **opened}
    return EnvSource(id, args=args, kwargs=env_kwargs, **own)


def _build(
    id: str | EnvSpec, kwargs: dict[str, Any], wrappers: Sequence[Callable[[Any], Any]]
) -> Any:
    env = gymnasium.make(id, **kwargs)
    for wrapper in wrappers:
        env = wrapper(env)
    return env


def make(id: str | EnvSpec | EnvSource, **kwargs: Any) -> RingEnv:
    """Makes a registered env in a process of its own.

    Args:
        id: an id ("module:Env-v0" imports the module first), a spec or an `EnvSource`. With a
            launcher also "package.module:attribute" and "file.py:attribute"; "dir:PATH" opens
            a directory as Portal-Env has them: spec.yml, env_setup.py, env_main.py; "recipe:NAME"
            one that comes with envring; both take `sandbox` and `solver`.
        **kwargs: RingEnv's options (launcher, spin, worker_env, ...); all others go to
            `gymnasium.make`. With a launcher `imports`, `setup`, `env_args` and `env_kwargs` are
            those of `EnvSource`.

    Returns:
        A RingEnv.
    """
    options = {name: kwargs.pop(name) for name in _SINGLE_OPTIONS & kwargs.keys()}
    source = _source(id, options, kwargs)
    if source is not None:
        return RingEnv(source, **options)
    return RingEnv(partial(_build, _find(id), kwargs, ()), **options)


def make_vec(
    id: str | EnvSpec | EnvSource,
    num_envs: int = 1,
    *,
    vector_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[Callable[[Any], Any]] | None = None,
    **kwargs: Any,
) -> RingVectorEnv[Any, Any]:
    """Makes a vector of a registered env; `gymnasium.make_vec` with RingVectorEnv.

    Args:
        id: as in `make`.
        num_envs: number of envs.
        vector_kwargs: options for RingVectorEnv.
        wrappers: applied to each env, in order.
        **kwargs: RingVectorEnv's options by name (num_workers, copy, autoreset_mode, ...); all
            others as in `make`.

    Returns:
        A RingVectorEnv with `spec` set. That of an id makes a RingVectorEnv again, in
        `gymnasium.make_vec`, too, with the options that are plain; wrappers are not in it.
    """
    options = {name: kwargs.pop(name) for name in _VECTOR_OPTIONS & kwargs.keys()}
    options.update(vector_kwargs or {})
    wrappers = list(wrappers or [])
    source = _source(id, options, kwargs)
    if source is not None:
        if wrappers:
            raise SourceError(
                "wrappers are functions of this interpreter and the env runs in another one. Apply "
                "them there, in a function that EnvSource('file.py:function') names."
            )
        return RingVectorEnv([source] * num_envs, **options)
    found = _find(id)
    if isinstance(found, EnvSpec):
        kwargs = {**found.kwargs, **kwargs}
        num_envs = kwargs.pop("num_envs", num_envs)
        kwargs.pop("vectorization_mode", None)
        found.kwargs = {}
        if found.vector_entry_point == _VECTOR_ENTRY and "id" in kwargs:  # a spec of ours
            return make_vec(
                kwargs.pop("id"),
                num_envs,
                vector_kwargs=vector_kwargs,
                wrappers=wrappers,
                **{**options, **kwargs},
            )
    env_fn = partial(_build, found, kwargs, wrappers)
    envs: RingVectorEnv[Any, Any] = RingVectorEnv([env_fn] * num_envs, **options)
    if isinstance(found, EnvSpec):
        envs.spec = copy.deepcopy(found)
        envs.spec.kwargs = dict(kwargs)
        if num_envs != 1:
            envs.spec.kwargs["num_envs"] = num_envs
        if isinstance(id, str):
            plain = {k: v for k, v in options.items() if type(v) in (bool, int, float, str)}
            envs.spec.kwargs = {"id": id, **plain, **envs.spec.kwargs}
            envs.spec.kwargs["vectorization_mode"] = "vector_entry_point"
            envs.spec.vector_entry_point = _VECTOR_ENTRY
    return envs


_VECTOR_ENTRY = f"{__name__}:_vector_entry"


def _vector_entry(id: str, num_envs: int = 1, **kwargs: Any) -> RingVectorEnv[Any, Any]:
    return make_vec(id, num_envs, **kwargs)


def register(id: str) -> str:
    """Registers "envring/<id>" with Gymnasium, for a registered id.

    `gymnasium.make_vec` and `gymnasium.make` of that id then give RingVectorEnv and RingEnv, and so
    do their specs, as JSON, too. Ids that were registered before this package was imported have
    theirs already.

    Args:
        id: a registered id. Gymnasium allows one namespace, so that of an id comes before a dot:
            "ALE/Pong-v5" becomes "envring/ALE.Pong-v5".

    Returns:
        The new id.
    """
    new = f"{NAMESPACE}/{id.replace('/', '.')}"
    if new not in gymnasium.registry:
        gymnasium.register(
            id=new,
            entry_point=f"{__name__}:make",
            vector_entry_point=_VECTOR_ENTRY,
            kwargs={"id": id},
            order_enforce=False,
            disable_env_checker=True,
        )
    return new


def register_all() -> None:
    """Registers every id of Gymnasium's registry."""
    for id in list(gymnasium.registry):
        if not id.startswith(f"{NAMESPACE}/"):
            register(id)
