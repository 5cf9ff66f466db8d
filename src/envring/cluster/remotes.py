# SPDX-License-Identifier: MIT
"""`remotes="ray://auto?n=4&cpus=8"`: servers that live as long as the envs of their caller."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from envring.cluster import groups
from envring.cluster.engine import Engine, connect
from envring.errors import AddressError, EnvFnError, LaunchError
from envring.gateways.runtimes import Runtime, load
from envring.launchers.registry import resolve
from envring.transport.addresses import Address

_OPTIONS = ("n", "cpus", "launcher", "config", "runtime", "heartbeat", "wait", "name", "insecure")
_ATTACHED = {"name", "runtime", "heartbeat"}  # the options of servers that run already
_FORWARDED = ("runtime", "heartbeat")  # options of each address


def start(
    text: str, envs: Sequence[str], timeout: float | None
) -> list[tuple[Address, Callable[[], None]]]:
    """Starts what a text such as "ray://auto?n=4&cpus=8" asks for, or finds what runs already.

    Args:
        text: an engine, a cluster and options.
        envs: names of the envs that will be asked for. Nothing else is served.
        timeout: seconds for the servers to be up, None for no limit.

    Returns:
        For each server its address, and what to call when it is not needed any longer.

    Raises:
        AddressError: an option does not exist, or is malformed.
        LauncherError: the engine's package is missing, or nothing runs there.
        HostRefused: the cluster has no room.
        LaunchError: a server is not up in time.
    """
    scheme, where, options = _parse(text)
    plan = None if "name" in options else _plan(text, options, envs)
    engine = connect(scheme, where)
    try:
        if plan is None:
            found = _attach(engine, options["name"], timeout)
        else:
            wait = _number(text, options, "wait", 0.0)
            found = groups.start(engine, plan, wait, timeout)
    except BaseException:
        engine.close()
        raise
    forwarded = {name: options[name] for name in _FORWARDED if name in options}
    users = _Users(engine, len(found), os.getpid())
    return [
        (
            replace(address, options={**address.options, **forwarded}),
            users.leaver(None if plan is None else name),
        )
        for name, address in found
    ]


def _attach(engine: Engine, group: str, timeout: float | None) -> list[tuple[str, Address]]:
    deadline = None if timeout is None else time.monotonic() + timeout
    found = groups.members(engine, group)
    if not found:
        raise LaunchError(f"No servers named {group!r} run there. See `envring cluster start`.")
    return [(name, groups.address_of(engine, name, deadline)) for name in found]


@dataclass
class _Users:
    """How many servers are in use through one connection to an engine."""

    engine: Engine
    count: int
    pid: int

    def leaver(self, name: str | None) -> Callable[[], None]:
        """What ends the use of one server. `name`: what to stop, or None for nothing."""
        left = False

        def leave() -> None:
            nonlocal left
            if left or os.getpid() != self.pid:  # a forked copy of the caller uses none
                return
            left = True
            self.count -= 1
            try:
                if name is not None:
                    self.engine.stop(name)
            finally:
                if self.count == 0:
                    self.engine.close()

        return leave


def _plan(text: str, options: dict[str, str], envs: Sequence[str]) -> groups.Plan:
    if "config" in options:
        runtimes = list(load(options["config"]))
    elif envs:
        runtimes = [Runtime("default", tuple(envs), resolve(options.get("launcher")))]
    else:
        raise EnvFnError(
            f"{text.partition('?')[0]} needs envs as data: EnvSource('CartPole-v1'). A function "
            "belongs to this process and cannot be sent to a host."
        )
    count = _number(text, options, "n", None)
    return groups.Plan(
        name=f"caller-{secrets.token_hex(6)}",
        runtimes=runtimes,
        count=None if count is None else int(count),
        cpus=_number(text, options, "cpus", 1.0),
        insecure=options.get("insecure", "0") != "0",
    )


def _parse(text: str) -> tuple[str, str, dict[str, str]]:
    shown = text.partition("?")[0]
    parts = urlsplit(text)
    if not parts.netloc or parts.path not in ("", "/") or parts.fragment:
        raise AddressError(f"{shown!r} names no cluster: {parts.scheme}://auto or ://HOST:PORT.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = _OPTIONS if "name" not in options else tuple(sorted(_ATTACHED))
    strange = sorted(options.keys() - set(known))
    if strange:
        raise AddressError(
            f"{shown!r} has an option {strange[0]!r}; known: {', '.join(known)}"
            + (" with name=." if "name" in options else ".")
        )
    return parts.scheme, parts.netloc, options


def _number(text: str, options: dict[str, str], name: str, default: Any) -> Any:
    if name not in options:
        return default
    try:
        value = float(options[name])
    except ValueError:
        value = -1.0
    whole = name == "n"
    if not 0 <= value < 1e6 or (name != "wait" and value == 0) or (whole and value % 1):
        raise AddressError(
            f"{text.partition('?')[0]}: {name}={options[name]} is not a "
            + ("number of servers." if whole else "number.")
        )
    return value
