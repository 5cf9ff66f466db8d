# SPDX-License-Identifier: MIT
"""Messages to the slices of a pool: one per slice, of its envs only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Spans: TypeAlias = Sequence[tuple[int, int]]
Message: TypeAlias = tuple[Any, ...]


def reset(
    spans: Spans, slot: int, seeds: Sequence[int | None], options: Any, mask: Any, per_env: bool
) -> list[Message]:
    """Resets all envs, or those where mask is True; `per_env`: options hold one item per env."""
    return [
        (
            "reset",
            slot,
            seeds[a:b],
            options[a:b] if per_env else options,
            None if mask is None else mask[a:b],
            per_env,
        )
        for a, b in spans
    ]


def replace(spans: Spans, sources: Sequence[Any]) -> list[Message]:
    """Has other envs made in the place of some; an item per env, None where nothing changes."""
    return [("replace", sources[a:b]) for a, b in spans]


def call(
    spans: Spans,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    chosen: Sequence[int] | None,
) -> list[Message]:
    """Calls an attribute of every env, or of those chosen by their ids."""
    if chosen is None:
        return [("call", name, args, kwargs)] * len(spans)
    return [("call", name, args, kwargs, _marks(a, b, chosen)) for a, b in spans]


def set_attr(
    spans: Spans, name: str, values: Sequence[Any], chosen: Sequence[int] | None
) -> list[Message]:
    """Sets an attribute of every env, or of those chosen by their ids."""
    if chosen is None:
        return [("set_attr", name, values[a:b]) for a, b in spans]
    by_env = dict(zip(chosen, values, strict=True))
    return [
        ("set_attr", name, [by_env.get(env_id) for env_id in range(a, b)], _marks(a, b, chosen))
        for a, b in spans
    ]


def some_actions(spans: Spans, env_ids: Sequence[int], actions: Sequence[Any]) -> list[Message]:
    """Actions of some envs, ahead of their steps."""
    by_env = list(zip(env_ids, actions, strict=True))
    return [
        ("some_actions", {env_id - a: action for env_id, action in by_env if a <= env_id < b})
        for a, b in spans
    ]


def reset_arguments(spans: Spans, given: Mapping[int, tuple[int | None, Any]]) -> list[Message]:
    """(seed, options) of the next resets of some envs, by their ids."""
    return [
        ("reset_arguments", {i - a: each for i, each in given.items() if a <= i < b})
        for a, b in spans
    ]


def _marks(first: int, end: int, chosen: Sequence[int]) -> list[bool]:
    wanted = set(chosen)
    return [env_id in wanted for env_id in range(first, end)]
