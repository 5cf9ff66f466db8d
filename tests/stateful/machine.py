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
VALUES = st.sampled_from([0.5, -2.0, float("nan"), np.float32(0.25)])


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
        self.reset(seed=1, options=None, keep=True)

    # -- whole calls

    @precondition(idle)
    @rule(seed=SEEDS, options=OPTIONS, keep=st.booleans())
    def reset(self, seed: Any, options: Any, keep: bool) -> None:
        actual = self.envs.reset(seed=self.seeds(seed), options=copy.deepcopy(options))
        self.take("reset", actual, self.oracle_reset(seed, options), keep)

    @precondition(idle)
    @rule(data=st.data(), seed=SEEDS, options=OPTIONS, keep=st.booleans())
    def masked_reset(self, data: Any, seed: Any, options: Any, keep: bool) -> None:
        mask = self.draw_mask(data)
        mine = {**copy.deepcopy(options or {}), "reset_mask": mask.copy()}
        actual = self.envs.reset(seed=self.seeds(seed), options=mine)
        self.take("reset", actual, self.oracle_reset(seed, options, mask), keep)

    @precondition(idle)
    @rule(action_seed=st.integers(0, 10**6), keep=st.booleans())
    def step(self, action_seed: int, keep: bool) -> None:
        self.reset_ended()
        actions = self.actions(action_seed)
        actual = self.envs.step(copy.deepcopy(actions))
        self.take("step", actual, self.oracle.step(actions), keep)

    @precondition(idle)
    @rule(argument=st.one_of(VALUES, st.text(max_size=3), st.just(np.arange(4))))
    def call(self, argument: Any) -> None:
        actual = self.envs.call("probe", argument, key=argument)
        assert_same_batch(actual, self.oracle.call("probe", argument, key=argument), where="call")

    @precondition(idle)
    @rule(name=st.sampled_from(["bias", "t", "episode", "index"]))
    def get_attr(self, name: str) -> None:
        assert_same_batch(self.envs.get_attr(name), self.oracle.get_attr(name), where=name)

    @precondition(idle)
    @rule(value=VALUES, each=st.booleans())
    def set_attr(self, value: Any, each: bool) -> None:
        values = [value + index for index in range(self.count)] if each else value
        self.envs.set_attr("bias", values)
        self.oracle.set_attr("bias", values)

    # -- split calls

    @precondition(idle)
    @rule(data=st.data(), seed=SEEDS, options=OPTIONS, masked=st.booleans())
    def reset_async(self, data: Any, seed: Any, options: Any, masked: bool) -> None:
        mask = self.draw_mask(data) if masked else None
        mine = copy.deepcopy(options)
        if mask is not None:
            mine = {**(mine or {}), "reset_mask": mask.copy()}
        self.envs.reset_async(self.seeds(seed), mine)
        self.pending = ("reset", self.oracle_reset(seed, options, mask))

    @precondition(idle)
    @rule(action_seed=st.integers(0, 10**6), scribble=st.booleans())
    def step_async(self, action_seed: int, scribble: bool) -> None:
        self.reset_ended()
        actions = self.actions(action_seed)
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
    @rule(timeout=st.sampled_from([None, 30]), keep=st.booleans())
    def wait(self, timeout: float | None, keep: bool) -> None:
        assert self.pending is not None
        name, expected = self.pending
        actual = getattr(self.envs, f"{name}_wait")(timeout)
        self.pending = None
        self.take(name, actual, expected, keep)

    @precondition(busy)
    @rule()
    def interrupt(self) -> None:
        """Whatever else is tried is refused and changes nothing."""
        assert self.pending is not None
        with expect_error(AlreadyPendingCallError):
            self.envs.reset()
        with expect_error(AlreadyPendingCallError):
            self.envs.step(self.envs.action_space.sample())
        with expect_error(AlreadyPendingCallError):
            self.envs.set_attr("bias", 99.0)
        for name in {"reset", "step", "call"} - {self.pending[0]}:
            with expect_error(NoAsyncCallError):
                getattr(self.envs, f"{name}_wait")()

    # -- what the caller does with results

    @precondition(lambda machine: machine.kept)
    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        del self.kept[data.draw(st.integers(0, len(self.kept) - 1))]

    @precondition(lambda machine: machine.kept)
    @rule(data=st.data())
    def scribble(self, data: Any) -> None:
        index = data.draw(st.integers(0, len(self.kept) - 1))
        value, _ = self.kept[index]
        overwrite(value)
        self.kept[index] = (value, fingerprint(value))

    @precondition(lambda machine: machine.kept)
    @rule()
    def drop_all(self) -> None:
        self.kept.clear()

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
        mine = copy.deepcopy(options)
        if mask is not None:
            mine = {**(mine or {}), "reset_mask": mask.copy()}
            self.ended &= ~mask
        else:
            self.ended[:] = False
        return self.oracle.reset(seed=self.seeds(seed), options=mine)

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
