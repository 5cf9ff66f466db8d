# SPDX-License-Identifier: MIT
"""Which worker, in which interpreter, holds which envs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from envring.errors import EnvFnError, LauncherError
from envring.launchers import registry
from envring.launchers.base import Launcher
from envring.launchers.sources import EnvSource
from envring.workers.options import Placement


def choose_launchers(
    env_fns: Sequence[Callable[[], Any]], launcher: Launcher | str | None
) -> list[Launcher | None]:
    """Each env's launcher: its source's own, or the one for all.

    Raises:
        LauncherError: there is no such launcher.
        EnvFnError: a function was given for another interpreter, which cannot have it.
    """
    common = registry.resolve(launcher)
    resolved: dict[str, Launcher | None] = {}
    found: list[Launcher | None] = []
    for i, fn in enumerate(env_fns):
        if not isinstance(fn, EnvSource):
            if common is not None:
                raise EnvFnError(
                    f"env_fns[{i}] is {fn!r}: a function belongs to this interpreter and cannot be "
                    "run by another one. Say what to build as data: EnvSource('CartPole-v1'), "
                    "EnvSource('package.module:function', kwargs={...}) or "
                    "EnvSource('path/to/file.py:function')."
                )
            found.append(None)
        elif fn.launcher is None:
            found.append(common)
        elif isinstance(fn.launcher, str):
            if fn.launcher not in resolved:
                resolved[fn.launcher] = registry.resolve(fn.launcher)
            found.append(resolved[fn.launcher])
        else:
            found.append(registry.resolve(fn.launcher))
    return found


def place(launchers: Sequence[Launcher | None], num_workers: int, asked: bool) -> list[Placement]:
    """Divides the envs among workers: contiguous slices, each within one interpreter.

    Args:
        launchers: each env's.
        num_workers: how many workers the user asked for, or the default.
        asked: whether the user gave that number; otherwise there may be more.

    Raises:
        LauncherError: more interpreters follow each other than there are workers.
    """
    runs: list[range] = []
    at = 0
    for _, group in itertools.groupby(launchers):
        size = len(list(group))
        runs.append(range(at, at + size))
        at += size
    if len(runs) > num_workers and asked:
        raise LauncherError(
            f"In the order of env_fns the interpreter changes {len(runs) - 1} times, which needs "
            f"{len(runs)} workers, but num_workers is {num_workers}. Raise num_workers, or put "
            "envs of the same launcher next to each other."
        )
    shares = [1] * len(runs)
    for _ in range(num_workers - len(runs)):
        widest = max(range(len(runs)), key=lambda r: len(runs[r]) / shares[r])
        shares[widest] += 1
    slices = [
        env_ids for run, share in zip(runs, shares, strict=True) for env_ids in _slices(run, share)
    ]
    return [Placement(each, launchers[each[0]], number) for number, each in enumerate(slices)]


def _slices(run: range, count: int) -> list[range]:
    """Contiguous slices whose sizes differ by one at most."""
    edges = [run.start + len(run) * w // count for w in range(count + 1)]
    return [range(a, b) for a, b in itertools.pairwise(edges)]
