# SPDX-License-Identifier: MIT
"""Environments that cannot be built, sent or waited for, and what they print."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from envring import EnvringError, RingVectorEnv
from envring.testing import CountingEnv, FailingEnv, HangingEnv, NoisyEnv
from envring.testing.conformance_base import quiet
from support.processes import CONTEXTS, Caller, assert_gone, counting_fns, read_pid


def holds_a_lock() -> BaseException:
    error = ValueError("holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("position", [0, 1])
def test_failing_constructor(context: str, position: int) -> None:
    fns: list[Any] = counting_fns()
    fns[position] = lambda: FailingEnv(lambda: KeyError("goal"), "init")
    with quiet(), pytest.raises(KeyError) as caught:
        RingVectorEnv(fns, context=context, num_workers=2)
    assert caught.value.args == ("goal",)
    assert "KeyError: 'goal'" in str(caught.value.__cause__)


def test_failing_constructor_in_the_caller() -> None:
    with quiet(), pytest.raises(KeyError):
        RingVectorEnv([lambda: FailingEnv(lambda: KeyError("goal"), "init")], num_workers=0)


def test_failing_constructor_that_does_not_travel() -> None:
    fns = [CountingEnv, lambda: FailingEnv(holds_a_lock, "init")]
    with quiet(), pytest.raises((ValueError, EnvringError), match="holds a lock") as caught:
        RingVectorEnv(fns, num_workers=2)
    assert re.search(r"(?i)\benv 1\b", "\n".join([str(caught.value), *caught.value.__notes__]))


@pytest.mark.parametrize("context", CONTEXTS)
def test_env_fn_that_cannot_be_sent(context: str) -> None:
    """Under fork nothing has to be sent; else the error names the env and what is wrong."""
    guard = threading.Lock()

    def make() -> CountingEnv:
        with guard:
            return CountingEnv(1)

    if context == "fork":
        envs = RingVectorEnv([CountingEnv, make], context=context, num_workers=2)
        envs.reset()
        envs.close()
        return
    with pytest.raises(EnvringError, match=r"\benv 1\b") as caught:
        RingVectorEnv([CountingEnv, make], context=context, num_workers=2)
    assert isinstance(caught.value, TypeError)
    assert "lock" in str(caught.value)
    assert context in str(caught.value)


def test_constructor_that_takes_too_long(tmp_path: Any) -> None:
    announce = tmp_path / "pid"
    fns: list[Any] = [CountingEnv, lambda: HangingEnv("init", announce=str(announce))]
    with quiet(), pytest.raises(EnvringError, match=r"\benv 1\b"):
        RingVectorEnv(fns, num_workers=2, start_timeout=0.5)
    assert_gone(read_pid(announce), 2)


@pytest.mark.parametrize("where", ["init", "step"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_environment_that_prints_50_mb(
    where: str, context: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fns: list[Any] = [CountingEnv, lambda: NoisyEnv(50_000_000, where)]
    envs = RingVectorEnv(fns, context=context, num_workers=2)
    try:
        envs.reset()
        assert envs.step([1, 1])[1].tolist() == [0.125, 0.125]
    finally:
        envs.close()
    capfd.readouterr()


def test_prints_of_environments_come_through() -> None:
    """What an environment prints appears where the caller's prints do."""
    script = """
        from envring import RingVectorEnv
        from envring.testing import NoisyEnv
        envs = RingVectorEnv([lambda: NoisyEnv(1024, "step")] * 2, num_workers=2)
        envs.reset(); envs.step([0, 0]); envs.close()
    """
    with Caller(script) as caller:
        code, out, err = caller.finish()
    assert code == 0
    assert out.count("n") == 2 * 1023
    assert err.count("n") == 2 * 1023
