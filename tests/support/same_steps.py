# SPDX-License-Identifier: MIT
"""The same steps of two vector envs."""

from __future__ import annotations

from typing import Any

from envring.testing import assert_same_batch


def assert_same_steps(envs: Any, local: Any, steps: int = 50) -> None:
    """Steps both, which were reset alike, with the same actions, and closes them."""
    local.action_space.seed(3)
    for _ in range(steps):
        actions = local.action_space.sample()
        assert_same_batch(envs.step(actions), local.step(actions))
    local.close()
    envs.close()
