# SPDX-License-Identifier: MIT
"""`make` and its neighbours, with EnvPool's arguments."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit

from envring.adapters.envpool.pool import EnvPool, GymnasiumEnvPool
from envring.adapters.envpool.spec import EnvSpec
from envring.api.making import NAMESPACE, make_vec
from envring.api.vector import RingVectorEnv
from envring.errors import EnvFnError
from envring.launchers.sources import EnvSource

Task: TypeAlias = str | EnvSource | Callable[..., Any]
_Kind = TypeVar("_Kind", bound=EnvPool)

_SEED = 42  # EnvPool's default
_RING_OPTIONS = frozenset(inspect.signature(RingVectorEnv).parameters)
# option -> its only value, and why
_FIXED: dict[str, tuple[Any, str]] = {
    "max_num_players": (1, "an env of several agents is one for envring.adapters.pettingzoo"),
    "gym_reset_return_info": (True, "reset returns (observations, infos)"),
    "from_pixels": (False, "pass arguments of the env that make it return pixels"),
    "autoreset_mode": (AutoresetMode.NEXT_STEP, "EnvPool resets in the step after the last one"),
    "render_width": (None, "the size of frames is an argument of the env"),
    "render_height": (None, "the size of frames is an argument of the env"),
    "render_camera_id": (None, "the camera is an argument of the env"),
}


def make(task_id: Task, env_type: str, **kwargs: Any) -> Any:
    """Makes a pool of envs.

    Args:
        task_id: an id that is registered with Gymnasium, an `EnvSource`, or a function that returns
            an env.
        env_type: "gymnasium", "gym", which is the same, or "dm".
        **kwargs: EnvPool's options. `num_envs` (1); `batch_size`, how many envs `recv` waits for
            (all); `num_threads`, here the number of worker processes (as many as there are CPUs);
            `seed`, an int s that gives env i the seed s + i, or one seed per env (42);
            `max_episode_steps`; `reward_threshold`; `thread_affinity_offset`, the CPU that the
            first worker is pinned to (-1: none); `render_mode` and `render_env_id`. Further options
            are RingVectorEnv's (launcher, step_timeout, ...); all others go to the env.

    Returns:
        A `GymnasiumEnvPool`, or a `DMEnvPool`.

    Raises:
        ValueError: an option cannot have this value.
        ModuleNotFoundError: `env_type` is "dm" and dm_env is not installed.
        Exception: what RingVectorEnv raises.
    """
    if env_type == "dm":
        return make_dm(task_id, **kwargs)
    if env_type not in ("gym", "gymnasium"):
        raise ValueError(f"env_type must be 'gymnasium', 'gym' or 'dm', got {env_type!r}.")
    return make_gymnasium(task_id, **kwargs)


def make_gymnasium(task_id: Task, **kwargs: Any) -> GymnasiumEnvPool:
    """Makes a pool that is a vector env of Gymnasium; see `make`."""
    return _make(GymnasiumEnvPool, task_id, kwargs)


make_gym = make_gymnasium


def make_dm(task_id: Task, **kwargs: Any) -> Any:
    """Makes a pool that is a `dm_env.Environment`; see `make`."""
    from envring.adapters.envpool.dm import DMEnvPool

    return _make(DMEnvPool, task_id, kwargs)


def make_spec(task_id: Task, **kwargs: Any) -> EnvSpec:
    """What `make` would give as `spec`. Builds one env, in a process that then ends."""
    _, config, options = _read(kwargs)
    options |= {"num_workers": 1, "batch_size": None}
    envs = _open(task_id, 1, config["max_episode_steps"], options)
    try:
        return _spec(task_id, config, envs)
    finally:
        envs.close()


def list_all_envs() -> list[str]:
    """Ids that are registered with Gymnasium."""
    return [id for id in gymnasium.registry if not id.startswith(f"{NAMESPACE}/")]


# -- how ------------------------------------------------------------------------------------


def _make(kind: type[_Kind], task_id: Task, kwargs: dict[str, Any]) -> _Kind:
    seeds, config, options = _read(kwargs)
    envs = _open(task_id, config["num_envs"], config["max_episode_steps"], options)
    if envs.num_envs != config["num_envs"]:
        envs.close()
        raise EnvFnError("The task makes vector envs, where single envs are wanted here.")
    return kind(envs, _spec(task_id, config, envs), seeds)


def _read(kwargs: dict[str, Any]) -> tuple[list[int], dict[str, Any], dict[str, Any]]:
    """Arguments as (seeds, config, what RingVectorEnv and the envs get)."""
    options = dict(kwargs)
    for name, (value, why) in _FIXED.items():
        given = options.pop(name, value)
        if given != value:
            raise ValueError(f"{name}={given!r} is not possible here: {why}.")
    num_envs = options.pop("num_envs", 1)
    batch_size = options.pop("batch_size", None) or num_envs
    num_threads = options.pop("num_threads", None) or None
    offset = options.pop("thread_affinity_offset", -1)
    seed = options.pop("seed", _SEED)
    one_seed = isinstance(seed, (int, np.integer))
    seeds = [int(seed) + i for i in range(num_envs)] if one_seed else [int(each) for each in seed]
    if len(seeds) != num_envs:
        raise ValueError(f"Got {len(seeds)} seeds for {num_envs} envs. Give one seed per env.")
    config = {
        "num_envs": num_envs,
        "batch_size": batch_size,
        "num_threads": num_threads or 0,
        "max_num_players": 1,
        "thread_affinity_offset": offset,
        "seed": seed if one_seed else 0,
        "env_seed": [] if one_seed else seeds,
        "gym_reset_return_info": True,
        "max_episode_steps": options.pop("max_episode_steps", None),
        "reward_threshold": options.pop("reward_threshold", None),
        "render_env_id": options.pop("render_env_id", 0),
    }
    own = {name: value for name, value in options.items() if name not in _RING_OPTIONS}
    options["batch_size"] = batch_size
    if num_threads is not None:
        options["num_workers"] = min(num_threads, num_envs)
    if offset >= 0:
        cpus = sorted(os.sched_getaffinity(0))
        start = offset % len(cpus)
        options["pin"] = cpus[start:] + cpus[:start]
    return seeds, config | own, options


def _open(
    task_id: Task, num_envs: int, max_episode_steps: int | None, options: dict[str, Any]
) -> RingVectorEnv[Any, Any]:
    if not callable(task_id) or isinstance(task_id, EnvSource):
        if max_episode_steps is not None:
            options["max_episode_steps"] = max_episode_steps
        return make_vec(task_id, num_envs, **options)
    own = {name: options.pop(name) for name in list(options) if name not in _RING_OPTIONS}
    env_fn = partial(_build, task_id, own, max_episode_steps)
    return RingVectorEnv([env_fn] * num_envs, **options)


def _build(make: Callable[..., Any], kwargs: dict[str, Any], max_episode_steps: int | None) -> Any:
    env = make(**kwargs)
    return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)


def _spec(task_id: Task, config: dict[str, Any], envs: RingVectorEnv[Any, Any]) -> EnvSpec:
    for name in ("max_episode_steps", "reward_threshold"):
        if config[name] is None and envs.spec is not None:
            config[name] = getattr(envs.spec, name)
    name = getattr(task_id, "__name__", str(task_id))
    return EnvSpec(name, config, envs.single_observation_space, envs.single_action_space)
