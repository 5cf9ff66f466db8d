# SPDX-License-Identifier: MIT
"""Envs that do only what a group measures."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from envring.bench.workloads import NullEnv


class Observing(NullEnv):
    """Returns one uint8 array of a given shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self._observation = np.zeros(shape, np.uint8)


class Telling(NullEnv):
    """Returns a fresh info dict with every step: so many numbers, or objects."""

    def __init__(self, keys: int | None) -> None:
        super().__init__()
        self._names = [f"value_{index}" for index in range(keys or 0)]
        self._objects = keys is None
        self._frame = 0

    def step(self, action: Any) -> Any:
        self._frame = frame = self._frame + 1
        info: dict[str, Any]
        if self._objects:
            info = {
                "name": f"level {frame % 7}",
                "position": {"x": frame, "y": 0.5 * frame},
                "speed": np.full(3, float(frame)),
            }
        else:
            info = dict.fromkeys(self._names, frame)
        return self._observation, 0.0, False, False, info


class Acting(NullEnv):
    """Takes actions of a given space."""

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        super().__init__()
        self.action_space = space
