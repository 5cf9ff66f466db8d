# SPDX-License-Identifier: MIT
"""Bad arguments and bad observations: a typed error that names envs, and everything works after."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text, Tuple

from envring import EnvFnError, EnvringError, ObservationError, RingVectorEnv
from envring.testing import CountingEnv, ScriptedEnv, SpaceEnv, assert_same_batch, example_spaces
from envring.testing.conformance_base import quiet
from support.processes import assert_usable, counting_fns

ZEROS = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    ("observation", "space"),
    [
        (np.zeros(3, np.float32), None),
        (np.zeros((2, 2), np.float32), None),
        (np.zeros((), np.float32), None),
        (np.float32(1), None),
        (0.5, None),
        ([1.0], None),
        (None, None),
        ("ab", None),
        ({"a": 1}, None),
        (np.array(["a", "b"]), None),
        (np.array([1j, 2]), None),
        (np.array([0.5, 1.5]), Box(0, 9, (2,), np.int64)),
        (np.array([300, 1]), Box(0, 255, (2,), np.uint8)),
        (np.array([-1, 1]), Box(0, 255, (2,), np.uint8)),
        (1.5, Discrete(3)),
        (None, Discrete(3)),
        (np.zeros(2, np.int64), Discrete(3)),
        ({"a": 0}, Dict({"a": Discrete(2), "b": Discrete(2)})),
        ([0, 0], Dict({"a": Discrete(2), "b": Discrete(2)})),
        ((0,), Tuple([Discrete(2), Discrete(2)])),
        (None, Tuple([Discrete(2), Discrete(2)])),
    ],
    ids=repr,
)
def test_observations_that_do_not_fit(observation: Any, space: Any, home: dict[str, Any]) -> None:
    space = space or Box(-9, 9, (2,), np.float32)
    good = space.sample()
    step = (good, 1.0, False, False, {})
    steps = [step, (observation, 2.0, False, False, {}), step, step, step]
    resets = [(good, {}), (good, {}), (observation, {}), (good, {})]
    fns = [lambda: ScriptedEnv([step], resets[:1], space)] * 3
    fns[1] = lambda: ScriptedEnv(steps, resets, space)
    envs = RingVectorEnv(fns, **home)
    actions = [0, 0, 0]
    try:
        envs.reset()
        envs.step(actions)
        for attempt in (lambda: envs.step(actions), envs.reset):
            with quiet(), pytest.raises(ObservationError, match=r"\benv 1\b") as caught:
                attempt()
            assert isinstance(caught.value, ValueError)
            assert isinstance(caught.value, TypeError)
            assert envs.reset()[1] == {}
            assert_same_batch(envs.step(actions)[1], np.array([1.0, 1.0, 1.0]))
    finally:
        with quiet():
            envs.close()


@pytest.mark.parametrize(
    ("observation", "space", "expected"),
    [
        (np.array([1, 2], np.int64), Box(0, 255, (2,), np.uint8), [1, 2]),
        ([1, 2], Box(0, 255, (2,), np.uint8), [1, 2]),
        (3, example_spaces().get("discrete_uint8", Discrete(5)), 3),  # from Gymnasium 1.2 on
        (True, Discrete(5), 1),
        (np.array([1.5, 2.5]), Box(-9, 9, (2,), np.float16), [1.5, 2.5]),
        (np.array([1, 0], np.int64), MultiBinary(2), [1, 0]),
        (
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            Box(0, 9, (2, 3)),
            [[0, 1, 2], [3, 4, 5]],
        ),
        (np.arange(12, dtype=np.float32)[::4], Box(0, 99, (3,)), [0, 4, 8]),
        (np.arange(2, dtype=">f4"), Box(0, 99, (2,)), [0, 1]),
        (np.array([5.0], np.float32), Box(0, 9, (1,)), [5.0]),
    ],
    ids=repr,
)
def test_observations_that_fit(
    observation: Any, space: Any, expected: Any, home: dict[str, Any]
) -> None:
    script = [(observation, 0.0, False, False, {})]
    envs = RingVectorEnv([lambda: ScriptedEnv(script, [(observation, {})], space)] * 2, **home)
    try:
        wanted = np.array([expected, expected], dtype=space.dtype)
        assert_same_batch(envs.reset()[0], wanted)
        assert_same_batch(envs.step(envs.action_space.sample())[0], wanted)
    finally:
        envs.close()


def test_odd_step_results(home: dict[str, Any]) -> None:
    """Rewards, flags or infos of a wrong type raise and name the env."""
    good = (ZEROS, 1.0, False, False, {})
    for bad in (
        (ZEROS, "reward", False, False, {}),
        (ZEROS, [1.0, 2.0], False, False, {}),
        (ZEROS, 1.0, np.array([True, False]), False, {}),
        (ZEROS, 1.0, False, False, None),
        (ZEROS, 1.0, False, False, 5),
        (ZEROS, 1.0, False, False),
        (ZEROS, 1.0, False),
        None,
        5,
    ):
        script: list[Any] = [good, bad, good]
        envs = RingVectorEnv(
            [lambda: ScriptedEnv([good]), lambda script=script: ScriptedEnv(script)],  # type: ignore[misc]
            **home,
        )
        try:
            envs.reset()
            envs.step([0, 0])
            with quiet(), pytest.raises((TypeError, ValueError, AttributeError)):
                envs.step([0, 0])
            envs.reset()
            assert_same_batch(envs.step([0, 0])[1], np.array([1.0, 1.0]))
        finally:
            with quiet():
                envs.close()


def test_empty_env_fns() -> None:
    for empty in ([], ()):
        with pytest.raises(EnvringError) as caught:
            RingVectorEnv(empty)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize("position", [0, 1])
def test_env_fns_that_cannot_be_called(position: int, home: dict[str, Any]) -> None:
    fns: list[Any] = counting_fns(2)
    fns[position] = CountingEnv()
    with pytest.raises((EnvringError, TypeError), match=rf"\b{position}\b"):
        RingVectorEnv(fns, **home)


def test_env_fns_that_return_no_env(home: dict[str, Any]) -> None:
    for made in (None, 5, CountingEnv):
        fns: list[Any] = [CountingEnv, lambda made=made: made]
        with quiet(), pytest.raises((EnvringError, TypeError, AttributeError), match=r"\b1\b"):
            RingVectorEnv(fns, **home)


def test_one_env_in_several_slots(home: dict[str, Any]) -> None:
    """It would be stepped for each of them, and nobody would see it."""
    shared = CountingEnv()
    for fns in ([lambda: shared] * 2, [lambda: shared, lambda: gymnasium.Wrapper(shared)]):
        slots: list[Any] = [CountingEnv, *fns]
        with quiet(), pytest.raises(EnvFnError, match=r"env_fns\[1\] and env_fns\[2\] return"):
            RingVectorEnv(slots, **{**home, "num_workers": min(home["num_workers"], 1)})


def test_different_spaces(home: dict[str, Any]) -> None:
    def boxed(high: float, shape: tuple[int, ...] = (2,), actions: int = 2) -> Any:
        return lambda: SpaceEnv(Box(0, high, shape, np.float32), Discrete(actions))

    with pytest.raises(RuntimeError, match="observation_mode='different'"):
        RingVectorEnv([boxed(1), boxed(2)], **home)
    with pytest.raises(RuntimeError, match="action space"):
        RingVectorEnv([boxed(1), boxed(1, actions=3)], **home)
    with pytest.raises((RuntimeError, ValueError)):
        RingVectorEnv([boxed(1), boxed(1, (3,))], observation_mode="different", **home)
    with pytest.raises((RuntimeError, TypeError)):
        RingVectorEnv([boxed(1), lambda: SpaceEnv(Text(3))], observation_mode="different", **home)


def test_numpy_seeds(envs: Any) -> None:
    envs.reset(seed=np.int64(7))
    assert envs.np_random_seed == (7, 8, 9)
    envs.reset(seed=np.array([1, 2, 3]))
    assert envs.np_random_seed == (1, 2, 3)
    envs.reset(seed=[np.int32(4), 5, 6])
    assert envs.np_random_seed == (4, 5, 6)


@pytest.mark.parametrize("seed", [1.5, "abc", -1, [1, "b", 3], [1, 2.5, 3]], ids=repr)
def test_wrong_seeds(envs: Any, seed: Any) -> None:
    with quiet(), pytest.raises((TypeError, ValueError, gymnasium.error.Error)):
        envs.reset(seed=seed)
    envs.reset(seed=0)
    assert_usable(envs)


def test_wrong_number_of_seeds(envs: Any) -> None:
    with pytest.raises(ValueError, match="num_envs=3 but got length=2"):
        envs.reset(seed=[1, 2])
    assert_usable(envs)


def test_options_of_the_caller_are_left_alone(envs: Any) -> None:
    mask = np.array([True, False, False])
    options = {"reset_mask": mask, "other": [1]}
    for _ in range(2):
        observation = envs.reset(options=options)[0]
        assert observation[1:, 1].tolist() == [0.0, 0.0]
        assert list(options) == ["reset_mask", "other"]
        assert options["reset_mask"] is mask
        assert options["other"] == [1]


def test_masks_that_do_not_fit_change_nothing(envs: Any) -> None:
    for mask in ([True] * 3, np.ones(3), np.ones(2, bool), np.zeros(3, bool)):
        with pytest.raises((TypeError, ValueError), match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    assert_usable(envs)


def test_step_before_reset(home: dict[str, Any]) -> None:
    with quiet():
        envs = RingVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, **home)
        with pytest.raises(gymnasium.error.ResetNeeded):
            envs.step([0, 0])
        envs.reset(seed=0)
        assert envs.step([0, 0])[1].tolist() == [1.0, 1.0]
        envs.close()


def test_set_attr_of_a_wrong_length(envs: Any) -> None:
    with pytest.raises(ValueError, match="Got `2` values for 3 environments"):
        envs.set_attr("gravity", [1, 2])
    assert envs.get_attr("gravity") == (9.8, 9.8, 9.8)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_workers": -1},
        {"num_workers": 1.5},
        {"num_workers": "2"},
        {"step_loop": "fast"},
        {"slots": 0},
        {"autoreset_mode": "Sometimes"},
        {"observation_mode": "some"},
        {"context": "teleport"},
        {"max_concurrency": 0},
        pytest.param({"worker": lambda *arguments: None}, id="{'worker': <function>}"),
    ],
    ids=repr,
)
def test_wrong_constructor_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        RingVectorEnv(counting_fns(), **arguments)


def test_unpicklable_arguments_of_a_call(envs: Any) -> None:
    if envs.num_workers == 0:
        assert envs.call("add", 1) == (1, 2, 3)
        return
    with (
        quiet(),
        pytest.raises((TypeError, AttributeError, EnvringError, Exception), match="pickle"),
    ):
        envs.call("add", lock())
    assert envs.call("add", 1) == (1, 2, 3)
    with (
        quiet(),
        pytest.raises((TypeError, AttributeError, EnvringError, Exception), match="pickle"),
    ):
        envs.set_attr("gravity", lock())
    assert_usable(envs)


def test_results_of_a_call_that_cannot_travel(home: dict[str, Any]) -> None:
    if home["num_workers"] == 0:
        pytest.skip("nothing travels")
    envs = RingVectorEnv([Locked, Locked], **home)
    try:
        envs.reset()
        with quiet(), pytest.raises(Exception, match=r"pickle"):
            envs.get_attr("lock")
        assert envs.get_attr("index") == (0, 0)
        assert_same_batch(envs.step([0, 0])[1], np.array([0.125, 0.125]))
    finally:
        envs.close()


def test_infos_that_cannot_travel(home: dict[str, Any]) -> None:
    if home["num_workers"] == 0:
        pytest.skip("nothing travels")
    good = (ZEROS, 1.0, False, False, {})
    script = [good, (ZEROS, 2.0, False, False, {"lock": lock()}), good]
    envs = RingVectorEnv([lambda: ScriptedEnv([good]), lambda: ScriptedEnv(script)], **home)
    try:
        envs.reset()
        envs.step([0, 0])
        with quiet(), pytest.raises(Exception, match=r"pickle"):
            envs.step([0, 0])
        envs.reset()
        assert_same_batch(envs.step([0, 0])[1], np.array([1.0, 1.0]))
    finally:
        with quiet():
            envs.close()


class Locked(CountingEnv):
    @property
    def lock(self) -> Any:
        return lock()


def lock() -> Any:
    import threading

    return threading.Lock()
