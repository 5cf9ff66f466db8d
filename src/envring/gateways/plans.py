# SPDX-License-Identifier: MIT
"""A caller's plans of observations and actions, checked, and the segment that they need."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from envring.batch.layout import ALIGNMENT
from envring.errors import WireError
from envring.transport.codec import has_name, matchable
from envring.transport.segment import COMMAND_RING_BYTES, REPLY_RING_BYTES, SegmentSpec

MAX_SLOT_BYTES = 1 << 30
_MAX_LEAVES = 4096
_SPARE_BYTES = 1 << 12  # that a caller's plan may have beyond what ours has
_MAX_DEPTH = 40
_MAX_ITEM = 16  # bytes of the widest number that an action may come as
_INFO_BYTES_PER_ENV = 1 << 16


@dataclass
class Plan:
    """A plan (see envring_worker/data/obs.py) whose every part was checked.

    Attributes:
        tree: the plan.
        leaves: (dtype, shape) of each leaf, None for dynamic ones.
    """

    tree: tuple[Any, ...]
    leaves: list[tuple[str, tuple[int, ...]] | None]

    @staticmethod
    def dtype(text: Any) -> str:
        """A dtype as it is written in plans; refuses everything else."""
        if not isinstance(text, str) or len(text) > 4:
            raise WireError(f"{text!r:.50} is not a dtype")
        try:
            dtype = np.dtype(text)
        except TypeError:
            raise WireError(f"{text!r} is not a dtype") from None
        if dtype.kind not in "biufc" or dtype.str != text or not dtype.isnative:
            raise WireError(f"{text!r} is not a dtype of numbers")
        return text

    @staticmethod
    def shape(value: Any) -> tuple[int, ...]:
        """A shape as it is written in plans; refuses everything else."""
        if not isinstance(value, (tuple, list)) or len(value) > 16:
            raise WireError("a shape is a tuple")
        if not all(type(size) is int and 0 <= size <= MAX_SLOT_BYTES for size in value):
            raise WireError("a shape has sizes that are impossible")
        return tuple(value)


def check_plans(plans: Any) -> tuple[Plan, Plan | None]:
    """The plans of observations and of actions; the latter is None if actions are messages.

    Raises:
        WireError: they are malformed.
    """
    if not isinstance(plans, dict) or plans.keys() != {"obs", "action"}:
        raise WireError("expected plans of observations and actions")
    action = None if plans["action"] is None else _check(plans["action"])
    if action is not None and None in action.leaves:
        raise WireError("actions without a fixed size are messages")
    return _check(plans["obs"]), action


def take_lost(plans: Any, num_envs: int) -> tuple[Any, dict[str, Any] | None]:
    """Plans without what was "lost", and that, for `envring_worker/lost.py`; None: nothing was.

    Raises:
        WireError: it is malformed.
    """
    if not isinstance(plans, dict) or "lost" not in plans:
        return plans, None
    plans = dict(plans)
    lost = plans.pop("lost")
    match lost:
        case {"obs": dict() as obs, "pending": list() as pending, "seeds": dict() as seeds}:
            ids = [*obs, *pending, *seeds]
            if all(type(env_id) is int and 0 <= env_id < num_envs for env_id in ids) and all(
                type(seed) is int and seed >= 0 for seed in seeds.values()
            ):
                return plans, {"obs": obs, "pending": pending, "seeds": seeds, "ends": {}}
    raise WireError("what was lost is not told by env")


def check_sizes(plans: tuple[Plan, Plan | None], own: tuple[Plan, Plan | None]) -> None:
    """Refuses a caller's plans that take much more memory than those of the host.

    Raises:
        WireError: they do.
    """
    for asked, known in zip(plans, own, strict=True):
        needed = 0 if asked is None else _offsets(asked.leaves, 1)[1]
        most = 0 if known is None else _offsets(known.leaves, 1)[1]
        if needed > 2 * most + _SPARE_BYTES:
            raise WireError("plans are larger than the spaces of the envs")


def _check(tree: Any) -> Plan:
    plan = Plan((), [])
    plan.tree = _node(tree, plan.leaves, 0)
    return plan


def _node(tree: Any, leaves: list[Any], depth: int) -> tuple[Any, ...]:
    if depth > _MAX_DEPTH or len(leaves) > _MAX_LEAVES:
        raise WireError("a plan is too deep or has too many leaves")
    if not has_name(tree):
        raise WireError("a plan is malformed")
    match tree:
        case ("dict", list() as items):
            found = []
            for item in items:
                match matchable(item):
                    case (str() | int() | float() | bytes() | tuple() as key, child):
                        found.append((key, _node(child, leaves, depth + 1)))
                    case _:
                        raise WireError("a plan's dict has pairs of keys and plans")
            return "dict", found
        case ("tuple", list() as children):
            return "tuple", [_node(child, leaves, depth + 1) for child in children]
        case ("leaf", int() as index, dtype, shape) if index == len(leaves):
            leaves.append((Plan.dtype(dtype), Plan.shape(shape)))
            return "leaf", index, *leaves[index]
        case ("dynamic", int() as index) if index == len(leaves):
            leaves.append(None)
            return "dynamic", index
    raise WireError("a plan is malformed")


def plans_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """The plans that follow from the spaces of the first env: for callers that bring none.

    Raises:
        WireError: a worker described spaces that are impossible.
    """
    found: dict[str, Any] = {}
    for name in ("observation", "action"):
        kinds, which = description[f"{name}_spaces"]
        found[name] = _check(_plan_of(kinds[which[0]], count()))
    action = found["action"]
    return {
        "obs": found["observation"].tree,
        "action": None if None in action.leaves else action.tree,
    }


def _plan_of(space: Any, numbers: Iterator[int]) -> tuple[Any, ...]:
    """The plan of a space as workers describe it (see envring_worker/envs/spaces.py)."""
    match space if has_name(space) else None:
        case ("dict", list() as items):
            return "dict", [(key, _plan_of(child, numbers)) for key, child in items]
        case ("tuple", list() as children):
            return "tuple", [_plan_of(child, numbers) for child in children]
        case ("box", _, _, dtype, shape):
            return "leaf", next(numbers), dtype, shape
        case ("discrete", _, _, dtype):
            return "leaf", next(numbers), dtype, ()
        case ("multi_binary", shape):
            return "leaf", next(numbers), "|i1", shape
        case ("multi_discrete", np.ndarray() as sizes, _, dtype):
            return "leaf", next(numbers), dtype, sizes.shape
    return "dynamic", next(numbers)


def _offsets(leaves: Sequence[Any], num_envs: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = 0
    for leaf in leaves:
        if leaf is None:
            found.append((at, None, ""))
            continue
        dtype, shape = leaf
        found.append((at, (num_envs, *shape), dtype))
        at += _aligned(num_envs * math.prod(shape) * np.dtype(dtype).itemsize)
    return found, at


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def spec_of(obs: Plan, action: Plan | None, num_envs: int, num_rings: int) -> SegmentSpec:
    """The segment of a session: one slot.

    Raises:
        WireError: it would be larger than a host allows.
    """
    obs_leaves, at = _offsets(obs.leaves, num_envs)
    final_leaves, final_bytes = _offsets(obs.leaves, num_envs)
    outcomes: list[tuple[int, tuple[int, ...], str]] = []
    for dtype in ("<f8", "|b1", "|b1"):
        outcomes.append((at, (num_envs,), dtype))
        at += _aligned(num_envs * np.dtype(dtype).itemsize)
    action_leaves = [] if action is None else action.leaves
    _, action_bytes = _offsets(action_leaves, num_envs)
    if len(action_leaves) == 1:
        (leaf,) = action_leaves
        assert leaf is not None
        action_bytes = max(action_bytes, num_envs * math.prod(leaf[1]) * _MAX_ITEM)
    if max(at, action_bytes) > MAX_SLOT_BYTES:
        raise WireError(f"a batch of {at} bytes is larger than the {MAX_SLOT_BYTES} allowed")
    config = {
        "num_envs": num_envs,
        "num_workers": num_rings,
        "num_slots": 1,
        "command_ring_bytes": COMMAND_RING_BYTES,
        "reply_ring_bytes": REPLY_RING_BYTES,
        "action_bytes": max(action_bytes, ALIGNMENT),
        "final_bytes": max(final_bytes, ALIGNMENT),
        "slot_bytes": at,
        "info_bytes": num_envs * _INFO_BYTES_PER_ENV + (1 << 20),
    }
    return SegmentSpec(config, obs_leaves, outcomes, final_leaves)
