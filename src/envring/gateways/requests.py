# SPDX-License-Identifier: MIT
"""What callers ask for, checked; and what workers answered, as plain data for a caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envring._foreign.envring_worker.data.infos import MAX_DEPTH, MAX_ENTRIES
from envring.batch import messages
from envring.cpus import usable_cpus
from envring.errors import CodecError, HostRefused, WireError
from envring.gateways.plans import Plan
from envring.gateways.runtimes import Runtime
from envring.pool.remote_data import AUTORESET_MODES, inner_name
from envring.pool.reply import Reply
from envring.transport import codec
from envring.workers.limits import Limits

MOST_ENVS = 1 << 16  # of one session
_LONGEST_START = 3600.0  # seconds for envs to be built
_MOST_WORKERS = 1024  # processes of a session


def pool_arguments(runtime: Runtime, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a caller may decide of its workers."""
    mode = asked.get("autoreset_mode", AUTORESET_MODES[0])
    unsendable = asked.get("on_unsendable", "raise")
    known = isinstance(mode, str) and isinstance(unsendable, str)
    if not known or mode not in AUTORESET_MODES or unsendable not in ("raise", "drop", "repr"):
        raise HostRefused("The autoreset mode or on_unsendable does not exist.", "message")
    start, limits = asked.get("start_timeout"), asked.get("limits")
    limits = {} if limits is None else limits
    if not isinstance(limits, dict):
        raise HostRefused("limits is a dict.", "message")
    for seconds in (start, *limits.values()):
        if seconds is not None and not (type(seconds) in (int, float) and 0 < seconds < 1e9):
            raise HostRefused("A timeout is None or seconds > 0.", "message")
    return {
        "autoreset_mode": AUTORESET_MODES.index(mode),
        "start_timeout": _least(start, _LONGEST_START),  # a caller that is gone is not seen before
        "on_unsendable": unsendable,
        "limits": Limits(
            _least(limits.get("step"), runtime.step_timeout),
            _least(limits.get("reset"), runtime.reset_timeout),
            limits.get("call"),
        ),
    }


def number_of_workers(runtime: Runtime, asked: Mapping[str, Any]) -> int:
    """The most worker processes of a session."""
    wanted, most = asked.get("workers"), runtime.workers or _MOST_WORKERS
    if wanted is None:
        return runtime.workers or usable_cpus()
    if type(wanted) is not int or wanted < 1:
        raise HostRefused("workers is a number of processes.", "message")
    return min(wanted, most)


def _least(*seconds: float | None) -> float | None:
    return min((each for each in seconds if each is not None), default=None)


def check_count(values: Any, count: int) -> None:
    """Refuses what is not a list with one value for each env."""
    if not isinstance(values, (list, tuple)) or len(values) != count:
        raise WireError(f"expected a list of {count} values, one for each env")


def check_mask(values: Any, count: int) -> None:
    """Refuses what does not say yes or no for each env."""
    if isinstance(values, np.ndarray):
        fits = values.shape == (count,) and values.dtype.kind in "biu"
    else:
        check_count(values, count)
        fits = all(isinstance(value, (int, np.bool_)) for value in values)
    if not fits:
        raise WireError(f"expected a mask of {count} envs")


def check_names(
    name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> None:
    """Refuses a call of, or a question about, what leads out of an env."""
    inner = inner_name(name, args, kwargs)
    if inner is not None:
        raise WireError(f"{inner!r:.100} may not be asked for")


def messages_of(
    message: Sequence[Any], spans: Sequence[tuple[int, int]], count: int
) -> list[messages.Message]:
    """A caller's call, checked and divided among the workers.

    Args:
        message: what came.
        spans: the envs of each worker.
        count: of envs.

    Raises:
        WireError: it is none of those that exist.
    """
    match codec.matchable(message):
        case ("call", str() as name, list() | tuple() as args, dict() as kwargs, *marks):
            check_names(name, args, kwargs)
            return messages.call(spans, name, tuple(args), kwargs, _chosen(marks, count))
        case ("set_attr", str() as name, list() | tuple() as values, *marks):
            check_names(name)
            check_count(values, count)
            chosen = _chosen(marks, count)
            if chosen is not None:
                values = [values[env_id] for env_id in chosen]
            return messages.set_attr(spans, name, values, chosen)
        case ("takes", str() as name, str() as keyword):
            check_names(name)
            return [("takes", name, keyword)] * len(spans)
    raise WireError("a message is none of those that exist")


def _chosen(marks: list[Any], count: int) -> list[int] | None:
    if not marks:
        return None
    check_mask(marks[0], count)
    return [env_id for env_id, flag in enumerate(marks[0]) if flag]


def merged(descriptions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One description of all envs, from those of the workers."""
    merged = {
        name: value
        for name, value in descriptions[0].items()
        if name not in ("foreign", "native", "why_not_native", "vectors")
    }
    for name in ("observation_spaces", "action_spaces"):
        kinds: dict[bytes, Any] = {}  # spaces by their bytes: workers have the same ones
        which: list[int] = []
        for each in descriptions:
            spaces = [codec.dumps(space) for space in each[name][0]]
            kinds |= zip(spaces, each[name][0], strict=True)
            numbers = {space: number for number, space in enumerate(kinds)}
            which += [numbers[spaces[kind]] for kind in each[name][1]]
        merged[name] = (list(kinds.values()), which)
    return merged


def plain(reply: Reply, num_envs: int) -> dict[str, Any]:
    """A reply as it is sent to a caller: what it has, and nothing else."""
    told = {
        "failures": [
            (env_id, kind, text, trace) for env_id, kind, _, text, trace in reply.failures
        ],
        "dynamic": reply.dynamic,
        "finals": reply.finals,
        "objects": reply.objects,
        "infos": reply.odd,
        "results": [reply.results.get(env_id) for env_id in range(num_envs)]
        if reply.results
        else None,
    }
    return {name: value for name, value in told.items() if value}


def signature(parts: Sequence[Any]) -> tuple[Any, ...]:
    """A caller's template, checked.

    Raises:
        WireError: it is not one.
    """
    room = [MAX_ENTRIES]
    try:
        return _level(parts, 0, room)
    except (TypeError, ValueError, CodecError) as error:
        raise WireError(f"a template is malformed: {error}") from None


def _level(parts: Sequence[Any], depth: int, room: list[int]) -> tuple[Any, ...]:
    room[0] -= len(parts)
    if depth > MAX_DEPTH or room[0] < 0:
        raise ValueError("too large")
    checked: list[Any] = []
    for code, key, *rest in parts:
        if not isinstance(key, str):
            raise ValueError("a key is text")
        if code == "d":
            (nested,) = rest
            checked.append((code, key, _level(nested, depth + 1, room)))
        elif code in ("o", "F", "f", "i", "b") and not rest:
            checked.append((code, key))
        elif code == "n" and len(rest) == 1:
            if Plan.dtype(rest[0])[1] == "b":
                raise ValueError("a numpy bool has no column")
            checked.append((code, key, rest[0]))
        elif code == "a" and len(rest) == 2:
            checked.append((code, key, Plan.dtype(rest[0]), Plan.shape(rest[1])))
        else:
            raise ValueError(f"part {code!r}")
    return tuple(checked)
