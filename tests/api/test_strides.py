# SPDX-License-Identifier: MIT
"""Observations whose elements do not lie one behind the other."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from envring import RingVectorEnv

VIEWS: dict[str, Any] = {
    "upside down": lambda a: a[::-1],
    "mirrored": lambda a: a[:, ::-1],
    "BGR": lambda a: a[..., ::-1],
    "turned": lambda a: np.rot90(a),
    "all reversed": lambda a: a[::-1, ::-1, ::-1],
    "transposed": lambda a: a.transpose(2, 0, 1),
    "every second": lambda a: a[::2, 1::2],
    "a part": lambda a: a[1:-1, 2:-3, :2],
    "the same row": lambda a: np.broadcast_to(a[:1], a.shape),
    "one row": lambda a: a[:1, ::-1],
    "one column": lambda a: a[:, 2:3, ::-1],
    "in Fortran's order": lambda a: np.asfortranarray(a),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype)[::-1],
}


class Views(gymnasium.Env):
    action_space = Discrete(2)

    def __init__(self, view: Any, dtype: Any, in_info: bool) -> None:
        self.view = view
        self.dtype = dtype
        self.in_info = in_info
        shape = self.make(0).shape
        self.observation_space = (
            Box(-np.inf, np.inf, shape, dtype) if dtype != np.uint8 else Box(0, 255, shape, dtype)
        )

    def make(self, number: int) -> Any:
        values = np.random.default_rng(number).integers(0, 256, (7, 11, 3)).astype(self.dtype)
        return self.view(values)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        return self.make(0), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        made = self.make(self.steps)
        info = {"view": made} if self.in_info else {}
        return made, 0.0, False, False, info


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("view", VIEWS)
def test_values_of_any_strides(view: str, dtype: Any) -> None:
    """Each loop stores what NumPy does, in observations and in columns of infos."""
    env_fns = [lambda: Views(VIEWS[view], dtype, True)] * 3
    for loop in ("compiled", "reference"):
        envs = RingVectorEnv(env_fns, num_workers=0, step_loop=loop)  # type: ignore[arg-type]
        try:
            envs.reset()
            for number in range(1, 5):
                observations, _, _, _, infos = envs.step([0, 0, 0])
                expected = Views(VIEWS[view], dtype, True).make(number)
                for i in range(3):
                    np.testing.assert_array_equal(observations[i], expected)
                    np.testing.assert_array_equal(infos["view"][i], expected)
        finally:
            envs.close()
