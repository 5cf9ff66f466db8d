# SPDX-License-Identifier: MIT
"""The environments that the benchmarks step."""

from __future__ import annotations

import difflib
import functools

import gymnasium

from envring.bench.workloads.base import Workload
from envring.bench.workloads.registered import is_id, loaded, registered
from envring.bench.workloads.simulated import half_cheetah
from envring.bench.workloads.synthetic import (
    DictEnv,
    ImageEnv,
    InfoEnv,
    NullEnv,
    SpinEnv,
    TailEnv,
)

__all__ = [
    "WORKLOADS",
    "DictEnv",
    "ImageEnv",
    "InfoEnv",
    "NullEnv",
    "SpinEnv",
    "TailEnv",
    "Workload",
    "find",
]

_OVERHEAD, _TIMED, _WAITS, _REAL = ("overhead",), ("timed",), ("timed", "waits"), ("real",)


def _spin(microseconds: int) -> Workload:
    return Workload(
        f"spin{microseconds}",
        f"{microseconds} us of work",
        functools.partial(SpinEnv, microseconds * 1e-6),
        groups=_TIMED,
        about=f"computes for {microseconds} us of processor time",
    )


WORKLOADS = {
    each.name: each
    for each in (
        # Partials of gymnasium's own: for them no peer's spawned worker has to import envring.
        Workload(
            "cartpole",
            "CartPole-v1",
            functools.partial(gymnasium.make, "CartPole-v1"),
            endless=False,
            groups=_REAL,
            about="CartPole-v1 with all its wrappers; episodes of about 22 steps",
        ),
        Workload(
            "image",
            "84x84x4 uint8",
            ImageEnv,
            groups=_OVERHEAD,
            about="returns one 84x84x4 uint8 array (28,224 bytes)",
        ),
        Workload(
            "image210",
            "210x160x3 uint8",
            functools.partial(ImageEnv, (210, 160, 3)),
            groups=_OVERHEAD,
            about="returns one 210x160x3 uint8 array (100,800 bytes)",
        ),
        Workload(
            "null",
            "empty env",
            NullEnv,
            groups=_OVERHEAD,
            about="returns a float32[4] at once",
        ),
        Workload(
            "dict5",
            "Dict of 5 Boxes",
            DictEnv,
            groups=_OVERHEAD,
            about="returns a Dict of five Boxes (32, 24, 6, 64 and 8 bytes)",
        ),
        Workload(
            "info5",
            "5 scalar infos",
            InfoEnv,
            groups=_OVERHEAD,
            about="as null, with an info dict of two ints, two floats and a bool in each step",
        ),
        _spin(20),
        _spin(100),
        _spin(1000),
        Workload(
            "tail",
            "heavy-tailed work",
            functools.partial(TailEnv, 100e-6),
            groups=_TIMED,
            about="computes for lognormal times, 100 us on average, 1 % of them over 1 ms",
        ),
        Workload(
            "tailsleep",
            "heavy-tailed sleep",
            functools.partial(TailEnv, 100e-6, sleeps=True),
            groups=_WAITS,
            about="sleeps for the same times instead",
        ),
        Workload(
            "pong",
            "ALE/Pong-v5",
            functools.partial(gymnasium.make, "ale_py:ALE/Pong-v5"),
            endless=False,
            needs="ale_py",
            requirement="ale-py",
            groups=_REAL,
            about="ALE/Pong-v5: four frames a step, raw 210x160x3 screens",
            start_seconds=0.18,
        ),
        Workload(
            "mujoco",
            "HalfCheetah-v5",
            half_cheetah,
            endless=False,
            needs="mujoco",
            requirement="gymnasium[mujoco]",
            groups=_REAL,
            about="HalfCheetah-v5: five physics steps, float64[17] observations, 6 actions",
        ),
    )
}


def find(name: str) -> Workload:
    """The workload called `name`, a registered env's id, or what `module:callable` builds.

    Args:
        name: A key of `WORKLOADS`; an id that Gymnasium knows, preceded by the package that
            registers it if it needs one (`Acrobot-v1`, `ALE/Breakout-v5`, `package:Id-v0`); or a
            callable without arguments that returns an env (`module:callable`).

    Raises:
        ValueError: if there is no such workload, or what it needs is not installed.
    """
    found = WORKLOADS.get(name)
    if found is None and ":" in name and not is_id(name):
        found = loaded(name)
    if found is None:
        found = registered(name)
    if found is None:
        raise ValueError(f"there is no workload {name!r}; {_hint(name)}")
    if found.absent is not None:
        raise ValueError(f"workload {name!r} needs {found.needs}: {found.absent}")
    return found


def _hint(name: str) -> str:
    known = {each.lower(): each for each in (*gymnasium.registry, *WORKLOADS)}
    close = [known[each] for each in difflib.get_close_matches(name.lower(), known, 3)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"use one of {', '.join(WORKLOADS)}, the id of a registered env, or module:callable"
