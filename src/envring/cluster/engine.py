# SPDX-License-Identifier: MIT
"""What an engine does for us: it starts, lists and stops one server. Steps never go through it.

Another engine (Slurm, Kubernetes) is a file beside `ray_engine.py`, and a line in `_ENGINES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from envring.cluster.credentials import Credentials
from envring.errors import LauncherError
from envring.gateways.runtimes import Runtime


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: the engine's name of it.
        address: name or number.
        cpus: CPUs that the engine may give away there.
        free: those of them that are not taken.
    """

    id: str
    address: str
    cpus: float
    free: float


@dataclass(frozen=True)
class Order:
    """A server that is to be started.

    Attributes:
        name: of the server, "GROUP/NUMBER".
        runtimes: what it serves.
        key: that its callers must show.
        cpus: CPUs that the engine sets aside for it, and worker processes of a session.
        slots: the most envs at a time, None for no limit.
        port: where to listen if the port is free, else on another one.
        lasting: whether it outlives the caller. False: it ends with the caller at the latest.
        credentials: for TLS, if there are any.
        insecure: whether it may be reached by other machines without TLS.
    """

    name: str
    runtimes: Sequence[Runtime]
    key: str = field(repr=False)
    cpus: float
    slots: int | None
    port: int
    lasting: bool
    credentials: Credentials | None = None
    insecure: bool = False


class Engine(Protocol):
    """An engine, connected."""

    def nodes(self) -> list[Node]:
        """The machines that are up."""

    def start(self, order: Order, node: Node) -> None:
        """Starts a server on a node, or on another one if that is lost or was taken meanwhile.

        Does not wait. A server that dies is started again, until it is stopped.
        """

    def names(self) -> list[str]:
        """Names of the servers that were started and not stopped."""

    def ask(self, name: str, method: str, seconds: float) -> Any:
        """What a method of a server's `NodeServer` returns; None if it is not up in time.

        Raises:
            LaunchError: it cannot run there; the text says why.
        """

    def stop(self, name: str) -> None:
        """Stops a server for good. It is gone afterwards; one that was gone is not an error."""

    def close(self) -> None:
        """Ends the connection, and with it the servers that do not last."""


_ENGINES = {"ray": ("ray_engine", "RayEngine")}


def connect(engine: str, address: str) -> Engine:
    """Connects to an engine's cluster.

    Args:
        engine: its name.
        address: of the cluster, as the engine writes it; "auto" for the one that it finds.

    Raises:
        LauncherError: there is no such engine, its package is missing, or nothing runs there.
    """
    if engine not in _ENGINES:
        raise LauncherError(f"There is no engine {engine!r}; there are: {', '.join(_ENGINES)}.")
    module, name = _ENGINES[engine]
    found: Engine = getattr(import_module(f"envring.cluster.{module}"), name)(address)
    return found
