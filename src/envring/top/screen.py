# SPDX-License-Identifier: MIT
"""Numbers of vector envs as lines and as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envring.errors import format_env_ids
from envring.pool.stats import Stats, WorkerStats
from envring.top.reading import Look

HEADER = ("envs", "pid", "steps/s", "step", "wait", "spin", "slowest env", "restarts", "MB")
_UNKNOWN = "-"


def between(looks: Sequence[Look], earlier: Mapping[str, Look]) -> list[Look]:
    """The looks with what happened since those before; totals of what was not there before.

    How often workers were started again is a total in any case.
    """
    found = []
    for look in looks:
        before = earlier.get(look.name)
        stats, past = look.stats, before.stats if before else None
        if stats is not None and past is not None and _env_ids(stats) == _env_ids(past):
            since = stats.since(past)
            workers = [
                dataclasses.replace(
                    worker, restarts=total.restarts, planned_restarts=total.planned_restarts
                )
                for worker, total in zip(since.workers, stats.workers, strict=True)
            ]
            stats = dataclasses.replace(since, workers=tuple(workers))
        found.append(dataclasses.replace(look, stats=stats))
    return found


def _env_ids(stats: Stats) -> list[tuple[int, ...]]:
    return [worker.env_ids for worker in stats.workers]


def title(look: Look) -> str:
    """One line for a vector env."""
    what = look.label or _short(look.command)
    if look.stats is None:
        return f"{look.pid}  {what}: {look.trouble}"
    workers = look.stats.workers
    envs = sum(len(each.env_ids) for each in workers)
    line = (
        f"{look.pid}  {what}  {_count(envs, 'env')} in {_count(len(workers), 'worker')}, "
        f"{_rate(look.stats.steps_per_second)} steps/s, {_megabytes(look.stats.memory)} MB"
    )
    if look.ended:
        line += f"; ended: {', '.join(map(str, look.ended))}"
    return line


def row(worker: WorkerStats) -> tuple[str, ...]:
    """A worker's cells below HEADER."""
    slowest = _UNKNOWN
    if worker.slowest_env is not None and worker.slowest_seconds is not None:
        slowest = f"{worker.slowest_env}: {1e3 * worker.slowest_seconds:.3g} ms"
    return (
        format_env_ids(worker.env_ids).removeprefix("envs ").removeprefix("env "),
        str(worker.pid),
        _rate(worker.steps_per_second),
        _percent(worker.step_share),
        _percent(worker.wait_share),
        _percent(worker.spin_share),
        slowest,
        str(worker.restarts) + f" + {worker.planned_restarts}" * (worker.planned_restarts > 0),
        _megabytes(worker.memory),
    )


def lines(looks: Sequence[Look]) -> list[str]:
    """All of it as plain text."""
    found: list[str] = []
    for look in looks:
        found.append(title(look))
        if look.stats is not None:
            cells = [HEADER, *map(row, look.stats.workers)]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            found += [
                "  " + "  ".join(cell.rjust(w) for cell, w in zip(each, widths, strict=True))
                for each in cells
            ]
    return found


def plain(look: Look) -> dict[str, Any]:
    """Plain data, for JSON."""
    data = dataclasses.asdict(look)
    if look.stats is not None:
        data["stats"]["steps_per_second"] = look.stats.steps_per_second
        for each, worker in zip(data["stats"]["workers"], look.stats.workers, strict=True):
            for name in ("steps_per_second", "step_share", "wait_share", "spin_share"):
                each[name] = getattr(worker, name)
    return data


def _short(command: str) -> str:
    """The program's own words: without the interpreter, and not too many."""
    words = command.split(" ")
    if len(words) > 1 and Path(words[0]).name.startswith("python"):
        words = words[1:]
    text = " ".join([Path(words[0]).name, *words[1:]])
    return text if len(text) <= 40 else text[:39] + "…"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _rate(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0%}"


def _megabytes(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value / 1e6:,.0f}"
