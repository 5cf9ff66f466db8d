# SPDX-License-Identifier: MIT
"""What the workers of a pool answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envring.errors import CodecError
from envring.transport.codec import as_bytes

REFUSED = "refused"  # kind of a failure that is a host's, not an env's


@dataclass
class Reply:
    """What a batch has beyond arrays, by env.

    Attributes:
        failures: (env_id, kind, exception as bytes or None, its text, traceback), in env order.
        dynamic: leaf index -> {env_id: value}.
        finals: env_id -> final observation.
        objects: env_id -> the objects of its info.
        odd: env_id -> its whole info.
        results: env_id -> result of a call.
    """

    failures: list[tuple[int, str, bytes | None, str, str]] = field(default_factory=list)
    dynamic: dict[int, dict[int, Any]] = field(default_factory=dict)
    finals: dict[int, Any] = field(default_factory=dict)
    objects: dict[int, list[Any]] = field(default_factory=dict)
    odd: dict[int, Any] = field(default_factory=dict)
    results: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def merged(cls, replies: Sequence[Reply]) -> Reply:
        """One reply of several, each of other envs."""
        whole = cls()
        for reply in replies:
            whole.failures += reply.failures
            for leaf, values in reply.dynamic.items():
                whole.dynamic.setdefault(leaf, {}).update(values)
            for name in ("finals", "objects", "odd", "results"):
                getattr(whole, name).update(getattr(reply, name))
        whole.failures.sort(key=lambda failure: failure[0])
        return whole

    def by_env(self) -> dict[int, Reply]:
        """A reply for each env that this one has something of; `merged` is the reverse."""
        found: dict[int, Reply] = {}

        def of(env_id: int) -> Reply:
            return found.setdefault(env_id, Reply())

        for failure in self.failures:
            of(failure[0]).failures.append(failure)
        for leaf, values in self.dynamic.items():
            for env_id, value in values.items():
                of(env_id).dynamic[leaf] = {env_id: value}
        for name in ("finals", "objects", "odd", "results"):
            for env_id, value in getattr(self, name).items():
                getattr(of(env_id), name)[env_id] = value
        return found

    def add(self, first_env: int, part: Mapping[str, Any], loads: Callable[[bytes], Any]) -> None:
        """Adds one worker's reply; `loads` reads what is in it as bytes."""
        self.failures += part["failures"]
        for leaf, values in part["dynamic"].items():
            self.dynamic.setdefault(leaf, {}).update(values)
        self.finals.update({env_id: loads(obs) for env_id, obs in part["finals"].items()})
        self.objects.update(part["objects"])
        self.odd.update(part["odd"])
        if part["results"] is not None:
            self.results.update(enumerate(part["results"], first_env))


def check_part(part: Any, env_ids: Sequence[int], num_leaves: int) -> dict[str, Any]:
    """Checks what came from another interpreter as a reply, and returns it.

    Args:
        part: what came.
        env_ids: envs of that worker.
        num_leaves: leaves of an observation.

    Raises:
        CodecError: it is not a reply.
    """
    ours = set(env_ids)

    def by_env(values: Any) -> bool:
        return isinstance(values, dict) and ours.issuperset(values)

    def failure(row: Any) -> bool:
        return (
            isinstance(row, tuple)
            and len(row) == 5
            and row[0] in ours
            and row[2] is None  # an exception as bytes would be unpickled
            and all(isinstance(row[i], str) for i in (1, 3, 4))
        )

    if not (
        isinstance(part, dict)
        and part.keys() == {"failures", "dynamic", "finals", "objects", "odd", "results"}
        and isinstance(part["failures"], list)
        and all(map(failure, part["failures"]))
        and isinstance(part["dynamic"], dict)
        and all(type(leaf) is int and 0 <= leaf < num_leaves for leaf in part["dynamic"])
        and all(map(by_env, part["dynamic"].values()))
        and by_env(part["finals"])
        and all(isinstance(as_bytes(obs), bytes) for obs in part["finals"].values())
        and by_env(part["objects"])
        and all(isinstance(values, list) for values in part["objects"].values())
        and by_env(part["odd"])
        and (
            part["results"] is None
            or (isinstance(part["results"], list) and len(part["results"]) == len(ours))
        )
    ):
        raise CodecError("what arrived is not a reply")
    finals = {env_id: as_bytes(obs) for env_id, obs in part["finals"].items()}
    return {**part, "finals": finals}
