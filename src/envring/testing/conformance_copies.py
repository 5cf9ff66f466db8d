# SPDX-License-Identifier: MIT
"""Conformance: whether returned arrays are copies or reused."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Space, Tuple

from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import ConformanceBase
from envring.testing.conformance_values import counting, sampling
from envring.testing.spaces import example_spaces


class CopyConformance(ConformanceBase):
    """`copy=True`: the caller owns the arrays. `copy=False`: the same arrays each time."""

    def test_copies(self) -> None:
        """Observations never change, and writing to them changes no later result."""
        spaces = example_spaces()
        for space in (
            spaces["box_64k"],
            spaces["nested"],
            Tuple([spaces["dict"], spaces["box_float16"]]),
        ):
            self._check_copies(space)

    def test_copies_of_dynamic_observations(self) -> None:
        """The same for observations that are not arrays of a fixed shape."""
        for name in ("graph", "sequence", "sequence_stacked"):
            self._check_copies(example_spaces()[name])

    def test_copies_of_custom_observations(self) -> None:
        """The same for observations of a custom space."""
        self._check_copies(example_spaces()["mixed"])

    def test_no_copies(self) -> None:
        """`copy=False`: the same array object each time."""
        with self.pair(counting(), copy=False) as (envs, oracle):
            first, _ = envs.reset(seed=1)
            oracle.reset(seed=1)
            for number in range(6):
                observation = envs.step(np.array([number, 1]))[0]
                assert observation is first
                assert_same_batch(observation, oracle.step(np.array([number, 1]))[0])
            again, _ = envs.reset(seed=2)
            assert again is first
        with self.running(sampling(Dict({"a": Box(-1, 1, (2,), np.float32)})), copy=False) as envs:
            leaf = envs.reset(seed=1)[0]["a"]
            assert envs.step(np.ones(3, int))[0]["a"] is leaf

    def _check_copies(self, space: Space[Any]) -> None:
        with self.pair(sampling(space, special=False), copy=True) as (envs, oracle):
            envs.reset(seed=3), oracle.reset(seed=3)
            kept = []
            for _ in range(10):
                actual, expected = envs.step(np.ones(3, int))[0], oracle.step(np.ones(3, int))[0]
                kept.append((actual, expected))
            for actual, expected in kept:
                assert_same_batch(actual, expected)
            _fill(kept[-1][0])
            mask = np.array([True, False, False])
            actual, _ = envs.reset(seed=1, options={"reset_mask": mask.copy()})
            expected, _ = oracle.reset(seed=1, options={"reset_mask": mask})
            assert_same_batch(actual, expected)


def _fill(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value[...] = 1
    elif isinstance(value, (dict, tuple, list)):
        for part in value.values() if isinstance(value, dict) else value:
            _fill(part)


__all__ = ["CopyConformance"]
