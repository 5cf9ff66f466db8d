# SPDX-License-Identifier: MIT
"""Actions that do not fit: refused before any environment is stepped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple

from envring import ActionError, RingVectorEnv
from envring.testing import SpaceEnv, assert_same_batch
from support.processes import assert_usable


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [1],
        [1, 2],
        [1, 2, 3, 4],
        np.zeros(2, int),
        np.zeros(4, int),
        np.zeros((3, 2), int),
        np.zeros((1, 3), int),
        [[1, 2], [1, 2], [1, 2]],
        1,
        np.array(1),
        None,
        [1.0, 2.0, 3.0],
        np.zeros(3),
        [1, 2, 2.5],
        ["1", "2", "3"],
        [None, None, None],
        "abc",
        {"a": 1},
        pytest.param(object(), id="object()"),
        [1, 2, [3, 4]],
        np.array([1, 2, 3], dtype=complex),
    ],
    ids=repr,
)
def test_actions_that_do_not_fit_a_discrete_space(envs: Any, actions: Any) -> None:
    with pytest.raises(ActionError) as caught:
        envs.step(actions)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)
    assert_usable(envs)


@pytest.mark.parametrize("actions", [[1, 2, 3], (1, 2, 3), np.array([1, 2, 3], np.uint8)], ids=repr)
def test_actions_of_other_types_that_fit(envs: Any, actions: Any) -> None:
    observation = envs.step(actions)[0]
    assert observation[:, 3].tolist() == [1.0, 2.0, 3.0]


def test_wrong_number_of_actions_is_told_by_step_async(envs: Any) -> None:
    with pytest.raises(ActionError, match="3"):
        envs.step_async([1, 2])
    envs.step_async([4, 5, 6])
    assert_same_batch(envs.step_wait()[1], np.array([0.125, 1.125, 2.125]))


@pytest.mark.parametrize(
    ("space", "bad"),
    [
        (Box(-1, 1, (2,), np.float32), [np.zeros((2, 3)), [[0, 0]], np.zeros(4), "ab", None]),
        (MultiBinary(2), [np.zeros((2, 2)), np.zeros((2, 3), np.int8)]),
        (
            Dict({"a": Discrete(2), "b": Box(-1, 1, (1,), np.float32)}),
            [{"a": [0, 1]}, {"a": [0], "b": np.zeros((2, 1))}, [0, 1], None],
        ),
        (Tuple([Discrete(2), Discrete(3)]), [([0, 1],), ([0], [1]), (1, 1), None]),
    ],
    ids=["box", "multi_binary", "dict", "tuple"],
)
def test_actions_that_do_not_fit_other_spaces(
    space: Any, bad: list[Any], home: dict[str, Any]
) -> None:
    envs = RingVectorEnv([lambda: SpaceEnv(Discrete(2), space)] * 2, **home)
    try:
        envs.reset(seed=0)
        for actions in bad:
            with pytest.raises((ActionError, KeyError)):
                envs.step(actions)
        envs.step(envs.action_space.sample())
        assert envs.get_attr("t") == (1, 1)
    finally:
        envs.close()


def test_actions_out_of_the_spaces_bounds_pass(envs: Any) -> None:
    assert envs.step(np.array([99, -1, 7]))[0][:, 3].tolist() == [99.0, -1.0, 7.0]
