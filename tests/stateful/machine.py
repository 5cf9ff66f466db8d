# SPDX-License-Identifier: MIT
"""A state machine that drives a vector environment beside a SyncVectorEnv."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from gymnasium.spaces import Dict, Space, Tuple
from gymnasium.vector import SyncVectorEnv
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from envring.testing import assert_same_batch, fingerprint
from envring.testing.conformance_base import expect_error, quiet, same_results
from stateful.strategies import Arrangement

MOST_KEPT = 8
SEEDS = st.one_of(st.none(), st.integers(0, 99), st.just("list"))
OPTIONS = st.sampled_from([None, {}, {"a": 1}, {"b": [1, {"c": "d"}]}])
VALUES = st.sampled_from([0.5, -2.0, float("nan"), np.float32(0.25), np.arange(4.0)])
ACTION_SEEDS = st.integers(0, 10**6)
KEEPS = st.lists(st.booleans(), min_size=1, max_size=8)


def idle(machine: VectorMachine) -> bool:
    return machine.pending is None


def busy(machine: VectorMachine) -> bool:
    return machine.pending is not None


class VectorMachine(RuleBasedStateMachine):
    """Every rule does the same to both and compares; results are kept and must not change.

    Subclasses add a rule that calls ``begin`` and say how the subject is made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.envs: Any = None
        self.oracle: Any = None
        self.pending: tuple[str, Any] | None = None
        # What the caller has kept, and how it looked.
        self.kept: list[tuple[Any, str]] = []
        self.ended = np.zeros(0, bool)
        self.leaves: list[Any] | None = None

    def make_subject(self, arrangement: Arrangement) -> Any:
        raise NotImplementedError

    def begin(self, arrangement: Arrangement) -> None:
        self.arrangement = arrangement
        self.oracle = SyncVectorEnv(
            arrangement.env_fns(), copy=arrangement.copy, autoreset_mode=arrangement.mode
        )
        self.envs = self.make_subject(arrangement)
        self.count = arrangement.count
        self.ended = np.zeros(self.count, bool)
        assert self.envs.observation_space == self.oracle.observation_space
        assert self.envs.action_space == self.oracle.action_space
        self.take("reset", self.envs.reset(seed=1), self.oracle.reset(seed=1), keep=True)

    # -- whole calls

    @precondition(idle)
    @rule(data=st.data(), seed=SEEDS, options=OPTIONS, masked=st.booleans(), keep=st.booleans())
    def reset(self, data: Any, seed: Any, options: Any, masked: bool, keep: bool) -> None:
        mask = self.draw_mask(data) if masked else None
        actual = self.envs.reset(seed=self.seeds(seed), options=self.with_mask(options, mask))
        self.take("reset", actual, self.oracle_reset(seed, options, mask), keep)

    # Three rules for one thing, because steps are what most is about.

    @precondition(idle)
    @rule(keeps=KEEPS, seed=ACTION_SEEDS)
    def steps(self, keeps: list[bool], seed: int) -> None:
        self.step_on(keeps, seed)

    @precondition(idle)
    @rule(keeps=KEEPS, seed=ACTION_SEEDS)
    def more_steps(self, keeps: list[bool], seed: int) -> None:
        self.step_on(keeps, seed)

    @precondition(idle)
    @rule(keeps=KEEPS, seed=ACTION_SEEDS)
    def still_more_steps(self, keeps: list[bool], seed: int) -> None:
        self.step_on(keeps, seed)

    @precondition(idle)
    @rule(how=st.sampled_from(["call", "get", "set", "set each"]), value=VALUES)
    def talk(self, how: str, value: Any) -> None:
        if how == "call":
            actual = self.envs.call("probe", value, key=value)
            assert_same_batch(actual, self.oracle.call("probe", value, key=value), where="call")
        elif how == "get":
            for name in ("bias", "note", "t", "episode", "index"):
                assert_same_batch(self.envs.get_attr(name), self.oracle.get_attr(name), where=name)
        else:
            each = [value + index for index in range(self.count)]
            for envs in (self.envs, self.oracle):
                envs.set_attr("note", value if how == "set" else each)
                envs.set_attr("bias", [1 + index / 8 for index in range(self.count)])

    # -- split calls

    @precondition(idle)
    @rule(data=st.data(), seed=SEEDS, options=OPTIONS, masked=st.booleans())
    def reset_async(self, data: Any, seed: Any, options: Any, masked: bool) -> None:
        mask = self.draw_mask(data) if masked else None
        self.envs.reset_async(self.seeds(seed), self.with_mask(options, mask))
        self.pending = ("reset", self.oracle_reset(seed, options, mask))

    @precondition(idle)
    @rule(seed=ACTION_SEEDS, scribble=st.booleans())
    def step_async(self, seed: int, scribble: bool) -> None:
        self.reset_ended()
        actions = self.actions(seed)
        mine = copy.deepcopy(actions)
        self.envs.step_async(mine)
        if scribble:
            overwrite(mine)
        self.pending = ("step", self.oracle.step(actions))

    @precondition(idle)
    @rule(argument=VALUES)
    def call_async(self, argument: Any) -> None:
        self.envs.call_async("probe", argument)
        self.pending = ("call", self.oracle.call("probe", argument))

    @precondition(busy)
    @rule(timeout=st.sampled_from([None, 30]), keep=st.booleans(), disturbed=st.booleans())
    def wait(self, timeout: float | None, keep: bool, disturbed: bool) -> None:
        assert self.pending is not None
        name, expected = self.pending
        if disturbed:
            self.disturb(name)
        actual = getattr(self.envs, f"{name}_wait")(timeout)
        self.pending = None
        self.take(name, actual, expected, keep)

    # -- what the caller does with results

    @precondition(lambda machine: machine.kept)
    @rule(data=st.data(), what=st.sampled_from(["scribble", "drop", "drop all"]))
    def tend(self, data: Any, what: str) -> None:
        if what == "drop all":
            self.kept.clear()
            return
        index = data.draw(st.integers(0, len(self.kept) - 1))
        if what == "drop":
            del self.kept[index]
            return
        value, _ = self.kept[index]
        overwrite(value)
        self.kept[index] = (value, fingerprint(value))

    @invariant()
    def nothing_kept_has_changed(self) -> None:
        for value, before in self.kept:
            assert fingerprint(value) == before, f"changed under its owner: {value!r:.500}"

    def teardown(self) -> None:
        if self.envs is not None:
            with quiet():
                self.envs.close()
            self.nothing_kept_has_changed()
            self.kept.clear()
        if self.oracle is not None:
            self.oracle.close()

    # -- parts of the rules

    def step_on(self, keeps: list[bool], seed: int) -> None:
        for number, keep in enumerate(keeps):
            self.reset_ended()
            actions = self.actions(seed + number)
            actual = self.envs.step(copy.deepcopy(actions))
            self.take("step", actual, self.oracle.step(actions), keep)
            self.nothing_kept_has_changed()

    def disturb(self, pending: str) -> None:
        """Whatever else is tried is refused and changes nothing."""
        with expect_error(AlreadyPendingCallError):
            self.envs.reset()
        with expect_error(AlreadyPendingCallError):
            self.envs.step(self.envs.action_space.sample())
        with expect_error(AlreadyPendingCallError):
            self.envs.set_attr("bias", 99.0)
        for name in {"reset", "step", "call"} - {pending}:
            with expect_error(NoAsyncCallError):
                getattr(self.envs, f"{name}_wait")()

    def take(self, name: str, actual: Any, expected: Any, keep: bool) -> None:
        if name == "call":
            assert_same_batch(actual, expected, where="call")
            return
        same_results(actual, expected, name)
        if name == "step":
            self.ended = expected[2] | expected[3]
        if not self.arrangement.copy:
            self.same_objects(actual[0])
        if keep:
            value = actual if self.arrangement.copy else actual[1:]
            self.kept = [*self.kept[-(MOST_KEPT - 1) :], (value, fingerprint(value))]

    def same_objects(self, observation: Any) -> None:
        leaves = batched_arrays(self.arrangement.observation_space, observation)
        before, self.leaves = self.leaves, leaves
        if before is not None:
            same = [old is new for old, new in zip(before, leaves, strict=True)]
            assert all(same), "copy=False returned another array"

    def seeds(self, seed: Any) -> Any:
        return [None if i == 1 else 10 + i for i in range(self.count)] if seed == "list" else seed

    def oracle_reset(self, seed: Any, options: Any, mask: Any = None) -> Any:
        self.ended &= False if mask is None else ~mask
        options = self.with_mask(options, mask)
        return self.oracle.reset(seed=self.seeds(seed), options=options)

    def with_mask(self, options: Any, mask: Any) -> Any:
        options = copy.deepcopy(options)
        return options if mask is None else {**(options or {}), "reset_mask": mask.copy()}

    def draw_mask(self, data: Any) -> np.ndarray[Any, Any]:
        bits = data.draw(st.integers(1, 2**self.count - 1))
        return np.array([bits >> index & 1 for index in range(self.count)], bool)

    def actions(self, seed: int) -> Any:
        self.oracle.action_space.seed(seed)
        return self.oracle.action_space.sample()

    def reset_ended(self) -> None:
        if self.arrangement.mode == "Disabled" and self.ended.any():
            mask = self.ended.copy()
            actual = self.envs.reset(options={"reset_mask": mask})
            self.take("reset", actual, self.oracle_reset(None, {}, mask), keep=False)


def arrays_of(value: Any) -> list[np.ndarray[Any, Any]]:
    """All arrays in a result."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, (tuple, list, dict)):
        parts = value.values() if isinstance(value, dict) else value
        return [array for part in parts for array in arrays_of(part)]
    return []


def batched_arrays(space: Space[Any], value: Any) -> list[Any]:
    """Arrays of a batch of observations that hold all environments, so not those of Graphs."""
    if isinstance(space, Dict):
        return [a for key, part in space.items() for a in batched_arrays(part, value[key])]
    if isinstance(space, Tuple):
        parts = zip(space, value, strict=True)
        return [a for part, item in parts for a in batched_arrays(part, item)]
    return [value] if isinstance(value, np.ndarray) else []


def overwrite(value: Any) -> None:
    """Write into every array of a result."""
    for array in arrays_of(value):
        assert array.flags.writeable
        if array.dtype.kind in "biufc":
            array[...] = 1
