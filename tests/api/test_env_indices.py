# SPDX-License-Identifier: MIT
"""`indices=` of call, get_attr and set_attr; reset options for each env."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete

from envring import RingVectorEnv
from envring.testing import deadline


class Level(gymnasium.Env):
    observation_space = Discrete(100)
    action_space = Discrete(2)

    def __init__(self, index: int) -> None:
        self.index = index
        self.level = 0
        self.calls = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.options = options
        return 0, {}

    def step(self, action: Any) -> Any:
        return 0, 0.0, False, False, {}

    def set_level(self, level: int, bonus: int = 0) -> int:
        self.calls += 1
        self.level = level + bonus
        return 100 * self.index + self.level

    def pick(self, indices: Any) -> Any:
        """Has a keyword of that name itself."""
        return [self.index, indices]

    def anything(self, **keywords: Any) -> Any:
        return keywords


@pytest.fixture(params=[(0, 4), (2, 4), (4, 4)], ids=["inline", "2 workers", "4 workers"])
def envs(request: pytest.FixtureRequest) -> Iterator[Any]:
    workers, count = request.param
    with deadline(40):
        envs = RingVectorEnv(
            [lambda i=i: Level(i) for i in range(count)],  # type: ignore[misc]
            num_workers=workers,
            options_per_env=True,
        )
        yield envs
        envs.close()


def test_call_of_some(envs: Any) -> None:
    assert envs.call("set_level", 5, indices=[3, 1], bonus=1) == (306, 106)
    assert envs.call("set_level", 7, indices=2) == (207,)
    assert envs.call("set_level", 8, indices=np.array([-4])) == (8,)
    assert envs.get_attr("level") == (8, 6, 7, 6)
    assert envs.get_attr("calls") == (1, 1, 1, 1)
    assert envs.call("set_level", 9, indices=None) == (9, 109, 209, 309)
    assert envs.call("set_level", 9, indices=[]) == ()
    assert envs.call("level", indices=[0]) == (9,)
    envs.call_async("set_level", 1, indices=[1])
    assert envs.call_wait() == (101,)
    assert envs.call("set_level", 2) == (2, 102, 202, 302)


def test_keyword_of_the_method_itself(envs: Any) -> None:
    """As in AsyncVectorEnv it is the method's."""
    assert envs.call("pick", indices=[2]) == tuple([i, [2]] for i in range(4))
    assert envs.call("anything", indices=1) == ({"indices": 1},) * 4


def test_attributes_of_some(envs: Any) -> None:
    envs.set_attr("level", 3, indices=[0, 2])
    assert envs.get_attr("level") == (3, 0, 3, 0)
    envs.set_attr("level", [1, 2], indices=(3, 0))
    assert envs.get_attr("level", indices=[0, 3]) == (2, 1)
    assert envs.get_attr("index", 1) == (1,)
    envs.set_attr("level", [5, 6, 7, 8])
    assert envs.get_attr("level", range(2)) == (5, 6)
    with pytest.raises(ValueError, match="for 2 environments"):
        envs.set_attr("level", [1, 2, 3], indices=[0, 1])


@pytest.mark.parametrize("indices", [4, [-5], [0, 0], [0, -4], [True, False], [0.5], "ab", 1.0])
def test_indices_that_are_none(envs: Any, indices: Any) -> None:
    for attempt in (
        lambda: envs.call("set_level", 1, indices=indices),
        lambda: envs.get_attr("level", indices),
        lambda: envs.set_attr("level", 1, indices=indices),
    ):
        with pytest.raises((ValueError, TypeError), match="indices must be"):
            attempt()
    assert envs.get_attr("calls") == (0, 0, 0, 0)


def test_options_for_each_env(envs: Any) -> None:
    each = [{"track": i} if i else None for i in range(4)]
    envs.reset(seed=1, options=each)
    assert list(envs.get_attr("options")) == each
    envs.reset(options=tuple(each))
    assert list(envs.get_attr("options")) == each
    envs.reset(options={"track": 9})
    assert envs.get_attr("options") == ({"track": 9},) * 4
    mask = np.array([True, False, False, False])
    envs.reset(options={"track": 7, "reset_mask": mask})
    assert [options["track"] for options in envs.get_attr("options")] == [7, 9, 9, 9]
    with pytest.raises(ValueError, match="must match num_envs=4 but got length=3"):
        envs.reset(options=each[:3])
    with pytest.raises(TypeError, match=r"options\[1\] must be a dict or None"):
        envs.reset(options=[None, 3, None, None])


def test_options_are_for_all_envs_by_default() -> None:
    envs = RingVectorEnv([lambda: Level(0)] * 2, num_workers=1)
    try:
        envs.reset(options=[{"a": 1}, {"b": 2}])
        assert envs.get_attr("options") == ([{"a": 1}, {"b": 2}],) * 2
    finally:
        envs.close()
