# SPDX-License-Identifier: MIT
"""Conformance: observations, actions, rewards, autoreset."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space

from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import ConformanceBase, expect_error
from envring.testing.envs import CountingEnv, ScriptedEnv, SpaceEnv
from envring.testing.spaces import example_spaces

EnvFn = Callable[[], Any]
Script = list[tuple[Any, Any, Any, Any, Any]]


def counting(count: int = 2, **kwargs: Any) -> list[EnvFn]:
    """Return env functions of counting environments; number `i` has episodes of `2 + i` steps."""

    def make(index: int) -> EnvFn:
        return lambda: CountingEnv(**{"index": index, "lengths": (2 + index,), **kwargs})

    return [make(index) for index in range(count)]


def sampling(
    observation_space: Space[Any], action_space: Space[Any] | None = None, **kwargs: Any
) -> list[EnvFn]:
    """Return env functions of three environments with these spaces."""

    def make(index: int) -> EnvFn:
        lengths = (2 + index, 3)
        return lambda: SpaceEnv(
            copy.deepcopy(observation_space),
            copy.deepcopy(action_space),
            index=index,
            lengths=lengths,
            **kwargs,
        )

    return [make(index) for index in range(3)]


def scripted(*scripts: Script, **kwargs: Any) -> list[EnvFn]:
    """Return env functions of one scripted environment per script."""
    return [lambda script=script: ScriptedEnv(script, **kwargs) for script in scripts]  # type: ignore[misc]


def _narrow() -> list[Any]:
    """A Discrete space of int8, where this Gymnasium has such."""
    make: Any = Discrete
    try:
        return [make(4, dtype=np.int8)]
    except TypeError:
        return []


class ValueConformance(ConformanceBase):
    """Every value, bit for bit: computed by hand where possible, else as in SyncVectorEnv."""

    def test_next_step_autoreset_by_hand(self) -> None:
        """NEXT_STEP: the step after the end resets, ignores its action, and has reward 0."""
        with self.running(counting(), autoreset_mode="NextStep") as envs:
            observations, infos = envs.reset(seed=3)
            assert_same_batch(observations, np.array([[0, 0, 0, -1], [1, 0, 0, -1]], np.float32))
            assert_same_batch(infos, {"round": np.array([0, 0]), "_round": np.array([True, True])})
            no, both = np.array([False, False]), np.array([True, True])
            first, second = np.array([True, False]), np.array([False, True])
            t12 = {"t": np.array([1, 1]), "_t": both}
            expected = [
                ([[0, 0, 1, 5], [1, 0, 1, 5]], [0.125, 1.125], no, t12),
                (
                    [[0, 0, 2, 5], [1, 0, 2, 5]],
                    [0.25, 1.25],
                    first,
                    {"t": np.array([2, 2]), "_t": both},
                ),
                (
                    [[0, 1, 0, -1], [1, 0, 3, 5]],
                    [0.0, 1.375],
                    second,
                    {
                        "round": np.array([1, 0]),
                        "_round": first,
                        "t": np.array([0, 3]),
                        "_t": second,
                    },
                ),
                (
                    [[0, 1, 1, 5], [1, 1, 0, -1]],
                    [0.125, 0.0],
                    no,
                    {
                        "t": np.array([1, 0]),
                        "_t": first,
                        "round": np.array([0, 1]),
                        "_round": second,
                    },
                ),
            ]
            for observation, reward, ended, info in expected:
                batch = envs.step(np.array([5, 5]))
                assert_same_batch(
                    batch,
                    (
                        np.array(observation, np.float32),
                        np.array(reward, np.float64),
                        ended,
                        no,
                        info,
                    ),
                )
            assert envs.get_attr("counts")[0] == {"reset": 2, "step": 3, "render": 0, "close": 0}

    def test_same_step_autoreset_by_hand(self) -> None:
        """SAME_STEP: the last step returns the next episode's start; the infos hold the end."""
        with self.running(counting(ending="truncated"), autoreset_mode="SameStep") as envs:
            envs.reset(seed=3)
            envs.step(np.array([5, 5]))
            observations, rewards, terminations, truncations, infos = envs.step(np.array([6, 7]))
            first, second = np.array([True, False]), np.array([False, True])
            assert_same_batch(observations, np.array([[0, 1, 0, -1], [1, 0, 2, 7]], np.float32))
            assert_same_batch(rewards, np.array([0.25, 1.25]))
            assert_same_batch(terminations, np.array([False, False]))
            assert_same_batch(truncations, first)
            final_obs = np.array([np.array([0, 0, 2, 6], np.float32), None], dtype=object)
            expected = {
                "final_obs": final_obs,
                "_final_obs": first,
                "final_info": {"t": np.array([2, 0]), "_t": first},
                "_final_info": first,
                "round": np.array([1, 0]),
                "_round": first,
                "t": np.array([0, 2]),
                "_t": second,
            }
            assert set(infos) == set(expected)
            assert_same_batch({key: infos[key] for key in expected}, expected)
            batch = envs.step(np.array([1, 1]))
            assert_same_batch(batch[0], np.array([[0, 1, 1, 1], [1, 1, 0, -1]], np.float32))
            assert_same_batch(batch[1], np.array([0.125, 1.375]))

    def test_disabled_autoreset_by_hand(self) -> None:
        """DISABLED: only the environments in `reset_mask` are reset."""
        with self.running(counting(), autoreset_mode="Disabled") as envs:
            envs.reset(seed=3)
            envs.step(np.array([5, 5]))
            batch = envs.step(np.array([6, 6]))
            assert_same_batch(batch[0], np.array([[0, 0, 2, 6], [1, 0, 2, 6]], np.float32))
            assert_same_batch(batch[2], np.array([True, False]))
            assert "final_obs" not in batch[4]
            observations, infos = envs.reset(options={"reset_mask": np.array([True, False])})
            assert_same_batch(observations, np.array([[0, 1, 0, -1], [1, 0, 2, 6]], np.float32))
            assert_same_batch(infos, {"round": np.array([1, 0]), "_round": np.array([True, False])})
            batch = envs.step(np.array([1, 1]))
            assert_same_batch(batch[0], np.array([[0, 1, 1, 1], [1, 0, 3, 1]], np.float32))

    def test_modes_match_sync(self) -> None:
        """Several episodes in each mode; ends are terminations, truncations and both at once."""
        for mode in ("NextStep", "SameStep"):
            for ending in ("terminated", "truncated", "both"):
                with self.pair(counting(3, ending=ending), autoreset_mode=mode) as (envs, oracle):
                    self.drive(envs, oracle, 12)

    def test_episodes_of_one_step(self) -> None:
        """Environments that end at every step, with empty infos."""
        for mode in ("NextStep", "SameStep"):
            with self.pair(counting(2, lengths=(1,), infos=False), autoreset_mode=mode) as (
                envs,
                oracle,
            ):
                self.drive(envs, oracle, 5)

    def test_final_obs_of_a_dict_space(self) -> None:
        """`final_obs` holds single observations: dicts for a Dict space, None elsewhere."""
        space = Dict({"a": Box(-1, 1, (2,), np.float32), "b": Discrete(3)})
        with self.pair(sampling(space), autoreset_mode="SameStep") as (envs, oracle):
            oracle.reset(seed=0), envs.reset(seed=0)
            seen = 0
            for _ in range(6):
                actual, expected = envs.step(np.zeros(3, int))[4], oracle.step(np.zeros(3, int))[4]
                if "final_obs" in expected:
                    seen += 1
                    assert actual["final_obs"].dtype == object
                    assert_same_batch(actual["final_obs"], expected["final_obs"])
                    assert_same_batch(actual["_final_obs"], expected["_final_obs"])
            assert seen > 1

    def test_explicit_reset_clears_the_pending_autoreset(self) -> None:
        """After an end and an explicit reset, the next action is stepped, not ignored."""
        for mask in (None, np.array([True, False])):
            with self.running(counting(lengths=(1,)), autoreset_mode="NextStep") as envs:
                envs.reset(seed=0)
                envs.step(np.array([1, 1]))
                envs.reset(options=None if mask is None else {"reset_mask": mask})
                batch = envs.step(np.array([4, 4]))
                second = [1, 1, 1, 4] if mask is None else [1, 1, 0, -1]
                assert_same_batch(batch[0], np.array([[0, 1, 1, 4], second], np.float32))

    def test_rewards_and_flags_of_odd_types(self) -> None:
        """Rewards become float64, flags bool, whatever number type the environments use."""
        rewards = [
            3,
            True,
            np.float32(0.1),
            np.int64(-2),
            np.array(1.5),
            2**40,
            np.float16(0.25),
            float("nan"),
            -0.0,
        ]
        observation = np.zeros(2, np.float32)
        flags = [
            False,
            np.bool_(False),
            0,
            np.int8(0),
            np.array(False),
            1,
            np.bool_(True),
            True,
            np.array(True),
        ]
        script: Script = [
            (observation, reward, flag, False, {})
            for reward, flag in zip(rewards, flags, strict=True)
        ]
        other: Script = [
            (observation, reward, False, flag, {})
            for reward, flag in zip(rewards, reversed(flags), strict=True)
        ]
        with self.pair(scripted(script, other)) as (envs, oracle):
            self.drive(envs, oracle, 2 * len(script))

    def test_results_are_the_callers(self) -> None:
        """Rewards and flags are new, contiguous, writeable arrays each time."""
        with self.running(counting()) as envs:
            envs.reset()
            kept = envs.step(np.array([1, 2]))
            texts = [part.tobytes() for part in kept[1:4]]
            later = envs.step(np.array([1, 2]))
            for part, text, new in zip(kept[1:4], texts, later[1:4], strict=True):
                assert part.tobytes() == text
                assert part.flags.writeable
                assert part.flags.c_contiguous
                assert part is not new
                part[:] = 1
            assert_same_batch(later[1], np.array([0.25, 1.25]))

    def test_observation_casts(self) -> None:
        """Values that numpy casts by the `same_kind` rule are cast; lists are accepted."""
        values = [
            np.array([1.5, -2.5]),
            [3.5, 4.25],
            np.array([1, 2]),
            (1, 2),
            np.array([0.5, 1], np.float16),
        ]
        script: Script = [(value, 0.0, False, False, {}) for value in values]
        with self.pair(scripted(script, script[1:])) as (envs, oracle):
            self.drive(envs, oracle, 9)

    def test_actions_arrive_in_the_spaces_type(self) -> None:
        """A sample of the batched action space arrives as SyncVectorEnv delivers it."""
        space = Dict({"d": Discrete(3, start=1), "b": Box(-1, 1, (2, 2), np.float32)})
        for action_space in (
            Discrete(4),
            *_narrow(),
            Box(-1, 1, (3,), np.float64),
            space,
        ):
            script: Script = [(np.zeros(2, np.float32), 0.0, False, False, {})]
            with self.pair(scripted(script, script, action_space=action_space)) as (envs, oracle):
                actions = oracle.action_space.sample()
                envs.reset(), oracle.reset()
                envs.step(copy.deepcopy(actions)), oracle.step(actions)
                assert_same_batch(envs.get_attr("actions"), oracle.get_attr("actions"))

    def test_actions_of_equal_size_pass_as_given(self) -> None:
        """`[0, 1, 2]` for a `Box(1,)` space: each environment gets its int."""
        script: Script = [(np.zeros(2, np.float32), 0.0, False, False, {})]
        fns = scripted(script, script, script, action_space=Box(0, 5, (1,), np.float32))
        with self.running(fns) as envs:
            envs.reset()
            envs.step([0, 1, 2])
            assert [float(actions[0]) for actions in envs.get_attr("actions")] == [0.0, 1.0, 2.0]
            assert [f"{actions[0]}" for actions in envs.get_attr("actions")] == ["0", "1", "2"]

    def test_list_of_actions(self) -> None:
        """A list of single actions works like an array."""
        with self.pair(counting()) as (envs, oracle):
            envs.reset(seed=1), oracle.reset(seed=1)
            actions = [np.int64(3), 4]
            assert_same_batch(envs.step(actions), oracle.step(actions))

    def test_wrong_number_of_actions(self) -> None:
        """Too few, too many or no actions at all raise ValueError or TypeError."""
        with self.running(counting()) as envs:
            envs.reset()
            for actions in ([], [1], [1, 2, 3], np.zeros(3, int), 1):
                with expect_error((ValueError, TypeError)):
                    envs.step(actions)

    def test_nan_actions_pass(self) -> None:
        """NaN is an action like any other."""
        with self.pair(sampling(Discrete(2), Box(-1, 1, (2,), np.float32))) as (envs, oracle):
            envs.reset(seed=1), oracle.reset(seed=1)
            actions = np.array([[np.nan, 1], [np.inf, -0.0], [0, -np.inf]], np.float32)
            assert_same_batch(envs.step(actions.copy()), oracle.step(actions))


def _space_test(space_name: str, role: str) -> Callable[[ValueConformance], None]:
    def test(self: ValueConformance) -> None:
        space = example_spaces()[space_name]
        spaces = (space, None) if role == "observation" else (Discrete(2), space)
        with self.pair(sampling(*spaces)) as (envs, oracle):
            assert type(envs.observation_space) is type(oracle.observation_space)
            self.drive(envs, oracle, 7)

    test.__name__ = f"test_{role}_space_{space_name}"
    test.__doc__ = f"Several episodes with `example_spaces()[{space_name!r}]` as {role} space."
    return test


for _name in example_spaces():
    for _role in ("observation", "action"):
        _test = _space_test(_name, _role)
        setattr(ValueConformance, _test.__name__, _test)

__all__ = ["ValueConformance", "counting", "sampling", "scripted"]
