# SPDX-License-Identifier: MIT
"""The environments that the benchmarks step."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

Reset = tuple[Any, dict[str, Any]]
Step = tuple[Any, float, bool, bool, dict[str, Any]]


class NullEnv(gymnasium.Env[Any, Any]):
    """Does nothing: what remains is the cost of the vector environment itself."""

    observation_space: gymnasium.Space[Any] = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space: gymnasium.Space[Any] = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self._observation: Any = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Return the observation every step returns."""
        super().reset(seed=seed)
        return self._observation, {}

    def step(self, action: Any) -> Step:
        """Return the same observation at once; no episode ever ends."""
        return self._observation, 0.0, False, False, {}


class ImageEnv(NullEnv):
    """Hands out one 84x84x4 uint8 image of its own."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)

    def __init__(self) -> None:
        self._observation = np.random.default_rng(0).integers(0, 256, (84, 84, 4), np.uint8)


class DictEnv(NullEnv):
    """Observes a Dict of five small Boxes."""

    observation_space = gymnasium.spaces.Dict(
        {
            "joints": gymnasium.spaces.Box(-1.0, 1.0, (8,), np.float32),
            "velocity": gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float64),
            "touch": gymnasium.spaces.Box(0, 1, (6,), np.int8),
            "depth": gymnasium.spaces.Box(0, 255, (8, 8), np.uint8),
            "goal": gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
        }
    )

    def __init__(self) -> None:
        self._observation = {
            "joints": np.zeros(8, np.float32),
            "velocity": np.zeros(3, np.float64),
            "touch": np.zeros(6, np.int8),
            "depth": np.zeros((8, 8), np.uint8),
            "goal": np.zeros(2, np.float32),
        }


class InfoEnv(NullEnv):
    """Returns five scalar infos with every step."""

    def __init__(self) -> None:
        super().__init__()
        self._frame = 0

    def step(self, action: Any) -> Step:
        """Return a fresh info dict of two ints, two floats and a bool."""
        self._frame = frame = self._frame + 1
        info = {"frame": frame, "lives": 3, "speed": 0.5, "score": frame * 0.25, "grounded": True}
        return self._observation, 0.0, False, False, info


class SpinEnv(NullEnv):
    """Computes for 100 us of wall time in each step."""

    def step(self, action: Any) -> Step:
        """Busy-wait, then do what NullEnv does."""
        clock = time.perf_counter
        stop = clock() + 100e-6
        while clock() < stop:
            pass
        return self._observation, 0.0, False, False, {}


@dataclass(frozen=True)
class Workload:
    """One environment to be measured.

    Attributes:
        name: What the command line and the JSON call it.
        title: What tables and pictures call it.
        make: Builds one env.
        endless: True when no episode ever ends, so that no step needs to be checked for a reset.
    """

    name: str
    title: str
    make: Callable[[], gymnasium.Env[Any, Any]]
    endless: bool = True


WORKLOADS = {
    each.name: each
    for each in (
        # A partial of gymnasium's own: for it no peer's spawned worker has to import envring.
        Workload(
            "cartpole",
            "CartPole-v1",
            functools.partial(gymnasium.make, "CartPole-v1"),
            endless=False,
        ),
        Workload("image", "84x84x4 uint8", ImageEnv),
        Workload("null", "empty env", NullEnv),
        Workload("dict5", "Dict of 5 Boxes", DictEnv),
        Workload("info5", "5 scalar infos", InfoEnv),
        Workload("spin100", "100 us of work", SpinEnv),
    )
}


def find(name: str) -> Workload:
    """The workload called ``name``; ``module:callable`` makes one of a caller's own env.

    Raises:
        ValueError: if there is no such workload, or no such callable.
    """
    if name in WORKLOADS:
        return WORKLOADS[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"no workload {name!r}; use one of {', '.join(WORKLOADS)}, or module:callable"
        )
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"workload {name!r} cannot be loaded: {error}") from error
    if not callable(make):
        raise ValueError(f"workload {name!r} is not callable; name a function that builds one env")
    return Workload(name, name, make, endless=False)
