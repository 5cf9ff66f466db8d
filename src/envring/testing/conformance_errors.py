# SPDX-License-Identifier: MIT
"""Conformance: exceptions of environments, and the use after them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import ConformanceBase, expect_error, quiet
from envring.testing.conformance_values import counting, scripted
from envring.testing.envs import CountingEnv
from envring.testing.faulty import FailingEnv

# These do not batch: SyncVectorEnv raises.
UNBATCHABLE: dict[str, tuple[dict[str, Any], ...]] = {
    "array_shapes": ({"x": np.zeros(2)}, {"x": np.zeros(3)}, {}),
    "dict_after_scalar": ({"x": 1}, {"x": {"a": 1}}, {}),
    "large_int": ({"x": 2**63}, {}, {}),
    "text_after_int": ({"x": 1}, {"x": "a"}, {}),
    "none_after_int": ({"x": 1}, {"x": None}, {}),
}


class ErrorConformance(ConformanceBase):
    """Exceptions arrive as they were raised, and the vector environment works afterwards."""

    def test_infos_that_do_not_batch(self) -> None:
        """They raise an exception; the vector environment works afterwards."""
        observation = np.zeros(2, np.float32)
        for name, infos in UNBATCHABLE.items():
            scripts = [
                [(observation, 1.0, False, False, info), (observation, 2.0, False, False, {})]
                for info in infos
            ]
            with self.running(scripted(*scripts)) as envs:
                envs.reset()
                try:
                    with quiet():
                        envs.step(np.zeros(3, int))
                except Exception:
                    pass
                else:
                    raise AssertionError(f"{name}: nothing raised")
                assert_same_batch(envs.step(np.zeros(3, int))[1], np.full(3, 2.0), where=name)

    def test_one_failing_environment(self) -> None:
        """Two log lines for the environment and one at the end; the exception itself."""
        fns = [
            lambda: CountingEnv(0),
            lambda: FailingEnv(lambda: ValueError("boom"), at=1, index=1),
        ]
        with self.running(fns) as envs:
            with quiet() as caught:
                envs.reset()
                envs.step(np.array([1, 1]))
            assert len(caught) == 0
            with quiet() as caught, self.expect_env_error(ValueError, text="boom"):
                envs.step(np.array([1, 1]))
            texts = [str(warning.message) for warning in caught]
            assert len(texts) == 3, texts
            assert "Received the following error from Worker-1 - Shutting it down" in texts[0]
            assert "raise self._error()\nValueError: boom" in texts[1]
            assert (
                texts[2]
                == "\x1b[31mERROR: Raising the last exception back to the main process.\x1b[0m"
            )

    def test_two_failing_environments(self) -> None:
        """Two log lines for each, one at the end, and one of the two exceptions."""
        fns = [
            lambda i=i: FailingEnv(lambda: ValueError(f"boom {i}"), at=0 if i else 99, index=i)
            for i in range(3)
        ]
        with self.running(fns) as envs:
            envs.reset()
            with quiet() as caught, self.expect_env_error(ValueError, match=r"^boom [12]$"):
                envs.step([0, 1, 2])
            texts = [str(warning.message) for warning in caught]
            assert len(texts) == 5, texts
            assert {
                text[len("\x1b[31mERROR: ") :].split(" - ")[0] for text in (texts[0], texts[2])
            } == {f"Received the following error from Worker-{index}" for index in (1, 2)}
            assert (
                texts[4]
                == "\x1b[31mERROR: Raising the last exception back to the main process.\x1b[0m"
            )

    def test_failing_reset(self) -> None:
        """An exception in reset arrives as in step."""
        fns = [
            lambda: FailingEnv(lambda: ValueError("boom"), "reset", at=1),
            lambda: CountingEnv(1),
        ]
        with self.running(fns) as envs:
            envs.reset()
            with quiet() as caught, self.expect_env_error(ValueError, text="boom"):
                envs.reset()
            assert len(caught) == 3

    def test_use_after_an_exception(self) -> None:
        """The environments stay usable, and a reset starts again."""
        fns = [
            lambda: CountingEnv(0, (9,)),
            lambda: FailingEnv(lambda: ValueError("boom"), at=1, index=1, lengths=(9,)),
        ]
        with self.running(fns) as envs:
            envs.reset(seed=0)
            envs.step(np.array([1, 1]))
            with quiet(), self.expect_env_error(ValueError):
                envs.step(np.array([1, 1]))
            assert_same_batch(envs.get_attr("index"), (0, 1))
            assert_same_batch(
                envs.reset(seed=0)[0], np.array([[0, 0, 0, -1], [1, 0, 0, -1]], np.float32)
            )
            assert_same_batch(
                envs.step(np.array([3, 3]))[0], np.array([[0, 0, 1, 3], [1, 0, 1, 3]], np.float32)
            )

    def test_exceptions_keep_their_arguments(self) -> None:
        """Type and arguments of the exception are the environment's."""
        made: list[tuple[Callable[[], BaseException], tuple[Any, ...]]] = [
            (lambda: KeyError("goal"), ("goal",)),
            (lambda: ValueError("a", 1, None), ("a", 1, None)),
            (lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), ("utf-8", b"x", 0, 1, "why")),
            (lambda: OSError(2, "No such file"), (2, "No such file")),
            (lambda: ZeroDivisionError(), ()),
        ]
        for make, args in made:
            with self.running([lambda make=make: FailingEnv(make)] * 2) as envs:  # type: ignore[misc]
                envs.reset()
                with quiet(), expect_error(type(make())) as caught:
                    envs.step(np.array([1, 1]))
                assert type(caught.error) is type(make())
                assert caught.error is not None
                assert caught.error.args == args

    def test_failing_call(self) -> None:
        """A wrong name or a failing method raises; the vector environment works afterwards."""
        with self.running([lambda: FailingEnv(lambda: ValueError("boom"), "add")] * 2) as envs:
            envs.reset()
            with quiet(), self.expect_env_error(AttributeError, match="no_such_thing"):
                envs.get_attr("no_such_thing")
            with quiet(), self.expect_env_error(ValueError, text="boom"):
                envs.call("add", 1)
            assert_same_batch(envs.call("add", 1), (1, 1))
            assert_same_batch(envs.step(np.array([1, 1]))[1], np.array([0.125, 0.125]))

    def test_forbidden_calls(self) -> None:
        """`call` refuses names that have a method of their own."""
        for name in ("reset", "step", "close", "_setattr", "_check_spaces"):
            with self.running(counting()) as envs:
                text = (
                    f"Trying to call function `{name}` with `call`, use `{name}` directly instead."
                )
                with quiet(), self.expect_env_error(ValueError, text=text):
                    envs.call(name)

    def test_read_only_properties(self) -> None:
        """The generators of the environments cannot be replaced by assignment."""
        with self.running(counting()) as envs:
            with expect_error(AttributeError):
                envs.np_random = None
            with expect_error(AttributeError):
                envs.np_random_seed = 1

    def test_wrong_number_of_actions_steps_nobody(self) -> None:
        """Actions are counted before any environment is stepped."""
        with self.running(counting(lengths=(9,))) as envs:
            envs.reset(seed=0)
            for actions in ([1], [1, 2, 3], [], 5):
                with expect_error((ValueError, TypeError)):
                    envs.step(actions)
            assert_same_batch(
                envs.step(np.array([3, 3]))[0], np.array([[0, 0, 1, 3], [1, 0, 1, 3]], np.float32)
            )


__all__ = ["ErrorConformance"]
