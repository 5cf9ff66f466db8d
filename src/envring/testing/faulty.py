# SPDX-License-Identifier: MIT
"""Environments that raise, hang, print too much or die."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from envring.testing.envs import CountingEnv

__all__ = ["DyingEnv", "FailingEnv", "FaultyEnv", "GatedEnv", "HangingEnv", "NoisyEnv", "SlowEnv"]

_GATE_SECONDS = 30.0


class FaultyEnv(CountingEnv):
    """Base of the environments below: calls `fault` at one place and time.

    Args:
        where: `"init"`, `"reset"`, `"step"`, `"add"` (a method for `call`),
            `"render"` or `"close"`.
        at: Number of the call that is faulty, from 0; negative for every call.
        **kwargs: Arguments of `CountingEnv`.
    """

    def __init__(self, where: str = "step", at: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.where = where
        self.at = at
        self._seen: dict[str, int] = {}
        self._pass("init")

    def fault(self) -> None:
        """Do what goes wrong; subclasses implement it."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Reset, or fault."""
        self._pass("reset")
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Step, or fault."""
        self._pass("step")
        return super().step(action)

    def add(self, a: int, b: int = 0) -> int:
        """Add, or fault."""
        self._pass("add")
        return super().add(a, b)

    def render(self) -> NDArray[np.uint8] | None:
        """Render, or fault."""
        self._pass("render")
        return super().render()

    def close(self) -> None:
        """Close, or fault."""
        self._pass("close")
        super().close()

    def _pass(self, place: str) -> None:
        number = self._seen.get(place, 0)
        self._seen[place] = number + 1
        if place == self.where and (self.at < 0 or number == self.at):
            self.fault()


class FailingEnv(FaultyEnv):
    """Raises an exception.

    Args:
        error: Called to make the exception.
        where: See `FaultyEnv`.
        at: See `FaultyEnv`.
        **kwargs: Arguments of `CountingEnv`.
    """

    def __init__(
        self, error: Callable[[], BaseException], where: str = "step", at: int = 0, **kwargs: Any
    ) -> None:
        self._error = error
        super().__init__(where, at, **kwargs)

    def fault(self) -> None:
        """Raise the exception."""
        raise self._error()


class DyingEnv(FaultyEnv):
    """Ends its process.

    Args:
        how: `"os._exit"` (status 7), `"sys.exit"` (status 7) or a signal's name such as
            `"SIGKILL"` or `"SIGSEGV"`, sent to itself.
        where: See `FaultyEnv`.
        at: See `FaultyEnv`.
        last_words: Text to write to stderr first.
        spare: Id of a process that it does not end, such as a caller that makes an environment.
        **kwargs: Arguments of `CountingEnv`.
    """

    def __init__(
        self,
        how: str = "SIGKILL",
        where: str = "step",
        at: int = 0,
        last_words: str = "",
        spare: int | None = None,
        **kwargs: Any,
    ) -> None:
        self._how = how
        self._last_words = last_words
        self._spared = spare
        super().__init__(where, at, **kwargs)

    def fault(self) -> None:
        """Die."""
        if os.getpid() == self._spared:
            return
        if self._last_words:
            print(self._last_words, file=sys.stderr, flush=True)
        if self._how == "os._exit":
            os._exit(7)
        if self._how == "sys.exit":
            sys.exit(7)
        os.kill(os.getpid(), getattr(signal, self._how))
        # a signal to oneself is delivered before kill returns, unless it is blocked
        signal.pause()


class SlowEnv(CountingEnv):
    """Sleeps in `step` for as many seconds as the action says.

    Args:
        reset_seconds: How long `reset` sleeps.
        **kwargs: Arguments of `CountingEnv`.
    """

    def __init__(self, reset_seconds: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = Box(0.0, 3600.0, (), np.float64)
        self.reset_seconds = reset_seconds

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Sleep, then reset."""
        time.sleep(self.reset_seconds)
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Sleep, then step."""
        time.sleep(float(action))
        return super().step(action)


class GatedEnv(FaultyEnv):
    """Waits at one place until a file exists: a slow environment without guessed times.

    Args:
        gate: Path of the file. `gate + ".waiting"` is created when the wait begins and holds
            the process id.
        where: See `FaultyEnv`.
        at: See `FaultyEnv`.
        **kwargs: Arguments of `CountingEnv`.

    Raises:
        TimeoutError: The file does not exist after 30 s.
    """

    def __init__(self, gate: str, where: str = "step", at: int = 0, **kwargs: Any) -> None:
        self._gate = gate
        super().__init__(where, at, **kwargs)

    def fault(self) -> None:
        """Wait at the gate."""
        with open(self._gate + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.replace(self._gate + ".new", self._gate + ".waiting")
        deadline = time.monotonic() + _GATE_SECONDS
        while not os.path.exists(self._gate):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._gate} was not created in {_GATE_SECONDS:g} s")
            time.sleep(0.001)


class HangingEnv(FaultyEnv):
    """Never returns from one place.

    Args:
        where: See `FaultyEnv`.
        at: See `FaultyEnv`.
        spin: Whether it spins on the CPU instead of sleeping.
        announce: Path of a file to write the process id to first.
        **kwargs: Arguments of `CountingEnv`.
    """

    def __init__(
        self,
        where: str = "step",
        at: int = 0,
        spin: bool = False,
        announce: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._spin = spin
        self._announce = announce
        super().__init__(where, at, **kwargs)

    def fault(self) -> None:
        """Hang."""
        if self._announce is not None:
            with open(self._announce + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.replace(self._announce + ".new", self._announce)
        while True:
            if not self._spin:
                time.sleep(3600)


class NoisyEnv(FaultyEnv):
    """Prints a lot to stdout and stderr.

    Args:
        size: Bytes for each of the two, written through the file descriptors.
        where: See `FaultyEnv`.
        at: See `FaultyEnv`.
        **kwargs: Arguments of `CountingEnv`.
    """

    def __init__(
        self, size: int = 1 << 20, where: str = "init", at: int = 0, **kwargs: Any
    ) -> None:
        self._size = size
        super().__init__(where, at, **kwargs)

    def fault(self) -> None:
        """Print."""
        line = b"n" * 1023 + b"\n"
        block = line * 64
        for descriptor in (1, 2):
            left = self._size
            while left > 0:
                left -= os.write(descriptor, block[:left])
