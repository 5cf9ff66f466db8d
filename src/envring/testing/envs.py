# SPDX-License-Identifier: MIT
"""Small deterministic environments for testing vector environments."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space, Tuple
from numpy.typing import NDArray

from envring.testing.compare import fingerprint

__all__ = ["INFO_STYLES", "BufferEnv", "CountingEnv", "ScriptedEnv", "SpaceEnv", "make_info"]

_ENDINGS = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}


class CountingEnv(gymnasium.Env[Any, Any]):
    """Counts its episodes and steps; its results can be computed by hand.

    The observation is `[index, episode, t, action]` (float32, shape `(4,)`; `action` is -1
    after a reset), the reward `index + t / 8`, the info `{"t": t}` after a step and
    `{"round": episode}` after a reset. Episodes have `lengths[0]`, `lengths[1]`, ... steps,
    then `lengths` repeats.

    Args:
        index: Number of this environment, part of every observation and reward.
        lengths: Steps of the first, second, ... episode.
        ending: How episodes end: `"terminated"`, `"truncated"` or `"both"`.
        infos: Whether infos have keys at all.
        render_mode: `"rgb_array"` makes `render` return frames.

    Attributes:
        gravity: A plain attribute for `get_attr` and `set_attr`.
        counts: How often `reset`, `step`, `render` and `close` were called.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - as in Env

    def __init__(
        self,
        index: int = 0,
        lengths: Sequence[int] = (3,),
        ending: str = "terminated",
        infos: bool = True,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = Discrete(8)
        self.render_mode = render_mode
        self.index = index
        self.lengths = tuple(lengths)
        self.ending = ending
        self.gravity = 9.8
        self.counts = {"reset": 0, "step": 0, "render": 0, "close": 0}
        self.episode = -1
        self.t = 0
        self._infos = infos

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the next episode; with a seed, the first one."""
        super().reset(seed=seed)
        self.counts["reset"] += 1
        self.episode = 0 if seed is not None else self.episode + 1
        self.t = 0
        return self._observation(-1), {"round": self.episode} if self._infos else {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Count one step."""
        self.counts["step"] += 1
        self.t += 1
        ended = self.t >= self.lengths[self.episode % len(self.lengths)]
        terminated, truncated = _ENDINGS[self.ending] if ended else (False, False)
        info = {"t": self.t} if self._infos else {}
        return self._observation(action), self.index + self.t / 8, terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """Return a (2, 3, 3) uint8 frame filled with the environment's index."""
        self.counts["render"] += 1
        return np.full((2, 3, 3), self.index, np.uint8) if self.render_mode else None

    def close(self) -> None:
        """Count the call."""
        self.counts["close"] += 1

    @property
    def pid(self) -> int:
        """Id of the process it runs in."""
        return os.getpid()

    def add(self, a: int, b: int = 0) -> int:
        """Return `index + a + b`: a method for `call`."""
        return self.index + a + b

    def _observation(self, action: Any) -> NDArray[np.float32]:
        return np.array([self.index, self.episode, self.t, action], np.float32)


class BufferEnv(CountingEnv):
    """A `CountingEnv` that returns the same observation array and info dict every time.

    It overwrites both in place, as simulators do, so a reference to them shows later values.
    """

    def __init__(self, index: int = 0, lengths: Sequence[int] = (3,), **kwargs: Any) -> None:
        super().__init__(index, lengths, **kwargs)
        self._buffer = np.zeros(4, np.float32)
        self._info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the next episode, in the old buffers."""
        observation, info = super().reset(seed=seed, options=options)
        return self._reuse(observation), self._reuse_info(info)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Count one step, in the old buffers."""
        observation, reward, terminated, truncated, info = super().step(action)
        return self._reuse(observation), reward, terminated, truncated, self._reuse_info(info)

    def _reuse(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        self._buffer[:] = observation
        return self._buffer

    def _reuse_info(self, info: dict[str, Any]) -> dict[str, Any]:
        self._info.clear()
        self._info.update(info)
        return self._info


class SpaceEnv(gymnasium.Env[Any, Any]):
    """Returns samples of any observation space and digests any action.

    Everything depends on `index`, the seeds and the actions only. The reward is computed from the
    `envring.testing.fingerprint` of the action, so an action of another type, dtype, shape
    or bit gives another reward.

    Args:
        observation_space: Space of the observations.
        action_space: Space of the actions.
        index: Seeds the samples until the first `reset(seed=...)`.
        lengths: Steps of the first, second, ... episode.
        ending: How episodes end: `"terminated"`, `"truncated"` or `"both"`.
        infos: A name of `INFO_STYLES`, see `make_info`.
        special: Whether some elements of float arrays become NaN, infinities and -0.0.

    Attributes:
        bias: Added to every reward.
        note: Anything, for `get_attr` and `set_attr`.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any] | None = None,
        index: int = 0,
        lengths: Sequence[int] = (3,),
        ending: str = "terminated",
        infos: str = "none",
        special: bool = True,
    ) -> None:
        self.observation_space = observation_space
        self.action_space = Discrete(3) if action_space is None else action_space
        self.index = index
        self.bias = 0.0
        self.note: Any = None
        self.t = 0
        self.episode = -1
        self._lengths = tuple(lengths)
        self._ending = ending
        self._infos = infos
        self._special = special
        self._source = copy.deepcopy(observation_space)
        self._start(index)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next episode; with a seed, all samples from the start."""
        super().reset(seed=seed)
        if seed is not None:
            self._start(seed)
        self.t = 0
        self.episode += 1
        info = make_info(self._infos, self._rng)
        if options is not None:
            info["options"] = fingerprint(options)
        return self._sample(), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Digest the action and return the next sample."""
        self.t += 1
        ended = self.t >= self._lengths[self.episode % len(self._lengths)]
        terminated, truncated = _ENDINGS[self._ending] if ended else (False, False)
        reward = int(fingerprint(action)[:8], 16) / 65536 + self.bias
        return self._sample(), reward, terminated, truncated, make_info(self._infos, self._rng)

    def probe(self, *args: Any, **kwargs: Any) -> tuple[int, int, int, str]:
        """Return `(index, episode, t, fingerprint of the arguments)`."""
        return self.index, self.episode, self.t, fingerprint((args, kwargs))

    def _start(self, seed: int) -> None:
        self._source.seed(seed)
        self._rng = np.random.default_rng(seed)

    def _sample(self) -> Any:
        value = self._source.sample()
        return _with_specials(self._source, value, self._rng) if self._special else value


def _with_specials(space: Space[Any], value: Any, rng: np.random.Generator) -> Any:
    if isinstance(space, Dict):
        return {key: _with_specials(part, value[key], rng) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(
            _with_specials(part, item, rng) for part, item in zip(space, value, strict=True)
        )
    if isinstance(space, Box) and space.dtype.kind == "f" and value.size and rng.random() < 0.5:
        value = np.array(value)
        flat = value.reshape(-1)
        for special in rng.choice([np.nan, -np.nan, np.inf, -np.inf, -0.0], 2):
            flat[rng.integers(flat.size)] = special
    return value


class ScriptedEnv(gymnasium.Env[Any, Any]):
    """Returns given results, even if they do not fit its spaces.

    Args:
        steps: `(observation, reward, terminated, truncated, info)` of step 0, 1, ...; they repeat
            after the last one.
        resets: `(observation, info)` of reset 0, 1, ...; they repeat after the last one.
        observation_space: Default `Box(-inf, inf, (2,), float32)`.
        action_space: Default `Discrete(8)`.
    """

    def __init__(
        self,
        steps: Sequence[tuple[Any, Any, Any, Any, Any]],
        resets: Sequence[tuple[Any, Any]] | None = None,
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
    ) -> None:
        self.observation_space = observation_space or Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = action_space or Discrete(8)
        self.actions: list[Any] = []
        self._steps = list(steps)
        self._resets = list(resets) if resets is not None else [(np.zeros(2, np.float32), {})]
        self._next_step = 0
        self._next_reset = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Any]:
        """Return the next scripted reset."""
        super().reset(seed=seed)
        self._next_reset += 1
        result = self._resets[(self._next_reset - 1) % len(self._resets)]
        return result[0], result[1]

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Return the next scripted step; the action is kept in `actions`."""
        self.actions.append(action)
        self._next_step += 1
        return self._steps[(self._next_step - 1) % len(self._steps)]


def make_info(style: str, rng: np.random.Generator) -> dict[str, Any]:
    """Make one environment's info dict.

    Args:
        style: `"none"`: always empty. `"steady"`: the same scalar and array keys each time.
            `"churn"`: keys come and go, change their order, nest, and change their type among
            those that still batch. `"objects"`: strings, None, lists, `np.bool_` and keys that
            are not strings.
        rng: Source of randomness.

    Returns:
        A new dict. Infos of one style always batch with one another.
    """
    return _STYLES[style](rng)


def _none(rng: np.random.Generator) -> dict[str, Any]:
    return {}


def _steady(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "speed": float(rng.random()),
        "lap": int(rng.integers(-(2**62), 2**62)),
        "ok": bool(rng.random() < 0.5),
        "f4": np.float32(rng.random()),
        "pos": rng.random(3).astype(np.float32),
        "deep": {"x": int(rng.integers(9)), "more": {"y": np.int16(rng.integers(9))}},
    }


def _churn(rng: np.random.Generator) -> dict[str, Any]:
    number = int(rng.integers(100))
    numbers = (int, float, np.float64, np.float32, np.int64, np.uint8, np.bool_, bool)
    parts: dict[str, Any] = {
        "n": numbers[rng.integers(len(numbers))](number),
        "steady": number / 7,
        "rare": "text" if rng.random() < 0.3 else None,
        "arr": rng.integers(0, 99, (2,)).astype(("i4", "f8", "u1", "i2")[rng.integers(4)]),
        "zero_d": np.array(number),
        "order": np.asfortranarray(rng.random((2, 3))),
        "deep": {"m": number, "empty": {}, "final_obs": number}
        if rng.random() < 0.2
        else {"m": number},
        "big": 2**62 + number,
    }
    names = [name for name in parts if rng.random() < 0.6]
    rng.shuffle(names)
    return {name: parts[name] for name in names}


def _objects(rng: np.random.Generator) -> dict[str, Any]:
    number = int(rng.integers(100))
    parts: dict[Any, Any] = {
        "text": f"{number}",
        "none": None,
        "list": [number, {"a": 1}],
        "flag": np.bool_(number % 2),
        7: "seven",
        ("a", 1): (number,),
        "": b"empty key",
    }
    return {name: value for name, value in parts.items() if rng.random() < 0.7}


_STYLES = {"none": _none, "steady": _steady, "churn": _churn, "objects": _objects}

INFO_STYLES: Mapping[str, Any] = _STYLES
"""Names that `make_info` and `SpaceEnv` know."""
