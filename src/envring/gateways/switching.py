# SPDX-License-Identifier: MIT
"""Other envs in a session's workers: reset(options={"env_id": "MountainCar-v0"})."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from envring.errors import HostRefused
from envring.gateways.runtimes import Runtime
from envring.launchers.sources import EnvSource

OPTION = "env_id"


def names_an_env(options: Any) -> bool:
    """Whether a reset's options ask for another env."""
    return isinstance(options, dict) and isinstance(options.get(OPTION), str)


class Refused(Exception):
    """A caller may not have an env in the place of another one.

    Attributes:
        env_id: the env whose place it was to take.
    """

    def __init__(self, env_id: int, text: str) -> None:
        """The text is for the caller."""
        super().__init__(text)
        self.env_id = env_id


class Switches:
    """Which envs a session has, and what takes their places.

    Args:
        runtime: of the session.
        sources: its envs at the beginning.
        runtimes: all that the host has.
    """

    def __init__(
        self, runtime: Runtime, sources: Sequence[EnvSource], runtimes: Iterable[Runtime]
    ) -> None:
        """Begins with the envs that the caller opened the session with."""
        self._runtime = runtime
        self._others = [each for each in runtimes if each is not runtime]
        self._first = list(sources)
        # None: unknown, because the last switch failed
        self._names: list[str | None] = [_name(source) for source in sources]
        self._pending: dict[int, str] = {}

    def take(
        self, options: Any, mask: Any, per_env: bool
    ) -> tuple[Any, list[EnvSource | None] | None]:
        """Takes the names of envs out of a reset's options.

        Returns:
            The options that are left; and of each env what to make in its place, or None if no env
            is switched.

        Raises:
            Refused: the caller may not have one of them. Nothing has changed.
        """
        given = list(options) if per_env else [options] * len(self._names)
        sources: list[EnvSource | None] = [None] * len(given)
        found = {}
        for env_id, each in enumerate(given):
            if not names_an_env(each):
                continue
            name = each[OPTION]
            given[env_id] = {key: each[key] for key in each if key != OPTION} or None
            if (mask is None or mask[env_id]) and name != self._names[env_id]:
                sources[env_id] = self._source(env_id, name)
                found[env_id] = name
        self._pending = found
        for env_id in found:
            self._names[env_id] = None
        return (given if per_env else given[0]), (sources if found else None)

    def _source(self, env_id: int, name: str) -> EnvSource:
        first, runtime = self._first[env_id], self._runtime
        if name == _name(first):
            return first
        if not runtime.serves(name):
            for other in self._others:
                if other.serves(name):
                    raise Refused(
                        env_id,
                        f"{name!r:.100} is an env of the runtime {other.name!r}; env {env_id} runs "
                        f"in {runtime.name!r} and can be switched within it only. Make another "
                        "vector env for the other runtime.",
                    )
        try:
            source = runtime.source({"env": name})
        except HostRefused as error:
            raise Refused(env_id, str(error)) from None
        if source.launcher != first.launcher:
            raise Refused(
                env_id,
                f"{name!r:.100} and {_name(first)!r:.100} need different interpreters, so one "
                "cannot take the other's place. Make another vector env for it.",
            )
        return source

    def done(self, failed: Iterable[int]) -> None:
        """The envs that `take` named are in their places, but for those that failed."""
        lost = set(failed)
        for env_id, name in self._pending.items():
            if env_id not in lost:
                self._names[env_id] = name
        self._pending = {}


def _name(source: EnvSource) -> str:
    name: str = source.request()["env"]
    return name
