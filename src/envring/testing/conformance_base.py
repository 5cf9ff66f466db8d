# SPDX-License-Identifier: MIT
"""Base class and helpers of the conformance suite."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest import SkipTest

from gymnasium.vector import SyncVectorEnv, VectorEnv

from envring.testing.compare import assert_same_batch

_FINAL_KEYS = ("final_obs", "_final_obs", "final_info", "_final_info")

EnvFns = Sequence[Callable[[], Any]]


@dataclass
class Raised:
    """The exception that `expect_error` caught."""

    error: BaseException | None = None


@contextmanager
def expect_error(
    kinds: type[BaseException] | tuple[type[BaseException], ...],
    match: str | None = None,
    text: str | None = None,
) -> Iterator[Raised]:
    """Check that the block raises an exception.

    Args:
        kinds: Expected exception class or classes.
        match: Regular expression to find in the message.
        text: The whole message.

    Raises:
        AssertionError: Nothing was raised, or the message differs.
    """
    caught = Raised()
    try:
        yield caught
    except kinds as error:
        caught.error = error
    if caught.error is None:
        raise AssertionError(f"nothing raised, expected {kinds}")
    message = str(caught.error)
    if match is not None:
        assert re.search(match, message), f"{match!r} not found in {message!r}"
    if text is not None:
        assert message == text, f"message is {message!r}, expected {text!r}"


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Record the block's warnings, Gymnasium's log lines included, instead of showing them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def same_results(actual: tuple[Any, ...], expected: tuple[Any, ...], where: str) -> None:
    """Compare results of `reset` or `step`.

    `final_obs` and `final_info` may come in either order: Gymnasium's own two classes differ.

    Args:
        actual: Result under test.
        expected: Result it must equal.
        where: Name of the result, for the message.

    Raises:
        AssertionError: They differ.
    """
    left, right = ((*result[:-1], _in_one_order(result[-1])) for result in (actual, expected))
    assert_same_batch(left, right, where=where)


def _in_one_order(infos: dict[str, Any]) -> dict[str, Any]:
    final = iter([key for key in _FINAL_KEYS if key in infos])
    return {key: infos[key] for key in (next(final) if k in _FINAL_KEYS else k for k in infos)}


class ConformanceBase:
    """Makes vector environments for the tests; see `VectorEnvConformance`."""

    vector_class: ClassVar[type[VectorEnv] | None] = None
    vector_kwargs: ClassVar[dict[str, Any]] = {}
    in_process: ClassVar[bool] = False
    env_error: ClassVar[type[Exception] | None] = None

    def make_vector(self, env_fns: EnvFns, **kwargs: Any) -> Any:
        """Make the vector environment under test."""
        return self.subject_class()(env_fns, **{**self.vector_kwargs, **kwargs})

    def subject_class(self) -> Any:
        """Return the class under test, for tests that derive from it."""
        if self.vector_class is None:
            raise SkipTest("the suite sets no vector_class")
        return self.vector_class

    def need_processes(self) -> None:
        """Skip the test where environments run in the caller's process."""
        if self.in_process:
            raise SkipTest("the environments run in the calling process")

    def expect_env_error(
        self, kind: type[Exception], match: str | None = None, text: str | None = None
    ) -> AbstractContextManager[Raised]:
        """Check that the block raises an environment's exception, or `env_error` in its place."""
        if self.env_error is None:
            return expect_error(kind, match=match, text=text)
        pattern = "" if match is None else match.lstrip("^")
        pattern = pattern if text is None else re.escape(text)
        return expect_error(self.env_error, match=f"{kind.__name__}: .*{pattern}")

    @contextmanager
    def running(self, env_fns: EnvFns, **kwargs: Any) -> Iterator[Any]:
        """Yield a vector environment under test, and close it at the end."""
        envs = self.make_vector(env_fns, **kwargs)
        try:
            yield envs
        finally:
            with quiet():
                envs.close()

    @contextmanager
    def pair(self, env_fns: EnvFns, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Yield a vector environment under test and a `SyncVectorEnv` of equal environments."""
        with self.running(env_fns, **kwargs) as envs:
            oracle = SyncVectorEnv(env_fns, **kwargs)
            try:
                yield envs, oracle
            finally:
                oracle.close()

    def drive(self, envs: Any, oracle: Any, steps: int, seed: int | None = 7) -> None:
        """Reset and step both with equal random actions, and compare all results."""
        oracle.action_space.seed(seed)
        same_results(envs.reset(seed=seed), oracle.reset(seed=seed), "reset")
        for number in range(steps):
            actions = oracle.action_space.sample()
            actual = envs.step(copy.deepcopy(actions))
            same_results(actual, oracle.step(actions), f"step {number}")
