# SPDX-License-Identifier: MIT
"""Partial batches against the oracle: a SyncVectorEnv of one env for each env."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from envring.testing import assert_same_batch

LENGTHS = [(3, 1), (2,), (5, 4), (1,), (7, 2), (4,)]  # of the episodes of six envs


class _Recording(SyncVectorEnv):
    """Notes the infos before they are batched."""

    inside = False

    def _add_info(self, vector_infos: Any, env_info: Any, env_num: int) -> Any:
        if not self.inside:  # it calls itself for what is nested
            self.infos.append(copy.deepcopy(env_info))
        inside, self.inside = self.inside, True
        try:
            return super()._add_info(vector_infos, env_info, env_num)
        finally:
            self.inside = inside


class _Batch:
    """What `VectorEnv._add_info` needs of a vector env."""

    _add_info = VectorEnv._add_info

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs


class Alone:
    """The envs that a vector env should have, each in a SyncVectorEnv of its own."""

    def __init__(self, env_fns: Sequence[Callable[[], Any]], autoreset_mode: Any) -> None:
        self.envs = [_Recording([fn], autoreset_mode=autoreset_mode) for fn in env_fns]
        self.expected: dict[int, Any] = {}  # env id -> what the next recv has of it
        self.over: set[int] = set()  # envs that are to be reset by hand
        self._by_hand = AutoresetMode(autoreset_mode) == AutoresetMode.DISABLED

    def reset(self, env_ids: Sequence[int], seeds: Sequence[int | None], options: Any) -> None:
        for env_id, seed in zip(env_ids, seeds, strict=True):
            envs = self.envs[env_id]
            envs.infos = []
            self.over.discard(env_id)
            observations, _ = envs.reset(seed=None if seed is None else [seed], options=options)
            none = np.zeros(1, bool)
            self.expected[env_id] = (
                copy.deepcopy(observations),
                np.zeros(1),
                none,
                none,
                envs.infos,
            )

    def step(self, env_ids: Sequence[int], actions: Sequence[Any]) -> None:
        for env_id, action in zip(env_ids, actions, strict=True):
            envs = self.envs[env_id]
            envs.infos = []
            *arrays, _ = envs.step(action)
            self.expected[env_id] = *copy.deepcopy(arrays), envs.infos

    def check(self, batch: Any) -> list[int]:
        """That a batch of `recv` is what each env gave; returns whose it is."""
        *arrays, infos = batch
        env_ids = infos.pop("env_id")
        assert env_ids.dtype == np.int32
        assert (np.diff(env_ids) > 0).all()
        plain, expected_infos = _Batch(len(env_ids)), {}
        for row, env_id in enumerate(env_ids.tolist()):
            *expected, each = self.expected.pop(env_id)
            for actual, alone in zip(arrays, expected, strict=True):
                assert_same_batch(of_row(actual, row), alone, where=f"env {env_id}")
            for info in each:
                expected_infos = plain._add_info(expected_infos, info, row)
        assert_same_batch(in_order(infos), in_order(expected_infos), where="infos")
        if self._by_hand:
            self.over.update(env_ids[arrays[2] | arrays[3]].tolist())
        return env_ids.tolist()

    def close(self) -> None:
        for envs in self.envs:
            envs.close()


def drive(
    envs: Any,
    alone: Alone,
    rounds: int,
    seed: int,
    action: Callable[[], Any] | None = None,
    timeout: float = 60,
) -> None:
    """Sends and receives at random, and compares all that comes. Envs that are over are reset."""
    random = np.random.default_rng(seed)
    draw = action or (lambda: int(random.integers(8)))
    n = envs.num_envs
    idle = list(range(n))
    for _ in range(rounds):
        if idle and random.random() < 0.7:
            chosen = random.permutation(idle)[: random.integers(1, len(idle) + 1)].tolist()
            idle = [env_id for env_id in idle if env_id not in chosen]
            again = chosen if random.random() < 0.1 else [i for i in chosen if i in alone.over]
            chosen = [i for i in chosen if i not in again]
            if again:
                seeds = [None if random.random() < 0.5 else 7 * i for i in again]
                envs.async_reset(again, seed=seeds)
                alone.reset(again, seeds, None)
            if chosen:
                actions = [draw() for _ in chosen]
                envs.send(np.array(actions), chosen)
                alone.step(chosen, [np.array([a]) for a in actions])
        out = n - len(idle)
        if out:
            idle += alone.check(envs.recv(int(random.integers(1, out + 1)), timeout=timeout))


def of_row(values: Any, row: int) -> Any:
    """One row of a batch, as a batch."""
    if isinstance(values, dict):
        return type(values)((key, of_row(value, row)) for key, value in values.items())
    if isinstance(values, tuple) and values and isinstance(values[0], np.ndarray):
        return tuple(of_row(value, row) for value in values)
    return values[row : row + 1]


def in_order(infos: dict[Any, Any]) -> dict[Any, Any]:
    """Infos with their keys in one order: those of a final step come first or last."""
    return {key: infos[key] for key in sorted(infos, key=str)}
