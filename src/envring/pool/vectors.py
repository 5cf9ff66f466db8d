# SPDX-License-Identifier: MIT
"""Vector envs in the place of envs: their rows are numbered once they are built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from envring.errors import EnvFnError, format_env_ids

Spans: TypeAlias = Sequence[tuple[int, int]]

_MODES = ("NextStep", "SameStep", "Disabled")  # by their numbers in the worker package


def number_rows(pool: Any, autoreset_mode: int, allowed: bool) -> None:
    """Gives each env of a vector env an id of its own, where env functions made vector envs.

    Args:
        pool: a `Pool` whose envs are built, and still have the ids of their functions. If they
            are vector envs it has `renumber`.
        autoreset_mode: the caller's.
        allowed: whether they may be vector envs.

    Raises:
        EnvFnError: they may not, or some are and others are not, or they reset their envs in
            another mode.
    """
    by_fn: list[tuple[int, str | None] | None] = []
    sizes = []
    for (first, end), description in zip(pool.spans, pool.descriptions, strict=True):
        vectors = description.get("vectors") or [None] * (end - first)
        by_fn += vectors
        sizes.append(sum(each[0] for each in vectors if each is not None))
    found = [each for each in by_fn if each is not None]
    if not found:
        return
    at = by_fn.index(found[0])
    if not allowed:
        raise EnvFnError(
            f"env_fns[{at}] returned a vector env of {found[0][0]} envs, where a single env is "
            "wanted. RingVectorEnv takes vector envs, in workers of this machine."
        )
    if len(found) < len(by_fn):
        raise EnvFnError(
            f"env_fns[{at}] returned a vector env and env_fns[{by_fn.index(None)}] a single env. "
            "Let all return vector envs: gymnasium.vector.SyncVectorEnv([env_fn], "
            "autoreset_mode=...) makes one of a single env."
        )
    rows = _spans([count for count, _ in found])
    _check_modes(rows, [mode for _, mode in found], _MODES[autoreset_mode])
    pool.renumber(_spans(sizes))
    pool.vectors = rows


def _spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """First and end of parts of these sizes that follow each other."""
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    return [(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _check_modes(rows: Spans, modes: Sequence[str | None], asked: str) -> None:
    wrong = [number for number, mode in enumerate(modes) if mode != asked]
    if not wrong:
        return
    mode = modes[wrong[0]]
    same = [number for number in wrong if modes[number] == mode]
    env_ids = [env_id for number in same for env_id in range(*rows[number])]
    who = f"The vector envs of env_fns[{', '.join(map(str, same))}] ({format_env_ids(env_ids)})"
    if mode is None:
        raise EnvFnError(
            f"{who} do not say when they reset their envs: there is no 'autoreset_mode' in their "
            f"metadata, and {asked} was asked for. If that is what they do, say so where they are "
            f"made: env.metadata = {{**env.metadata, 'autoreset_mode': '{asked}'}}. If not, pass "
            "the mode that they have as autoreset_mode= here, too."
        )
    raise EnvFnError(
        f"{who} reset their envs in the mode {mode}, and {asked} was asked for. Pass "
        f"autoreset_mode='{mode}' to RingVectorEnv, or make the vector envs with "
        f"autoreset_mode='{asked}' if they take it."
    )
