# SPDX-License-Identifier: MIT
"""Ray as the engine: a server is an actor, which Ray places, watches and starts again."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from importlib import import_module
from typing import Any

from envring.cluster.engine import Node, Order
from envring.cluster.node_server import NodeServer
from envring.errors import LauncherError, LaunchError

_NAMESPACE = "envring"
_CLOSE_SECONDS = 3.0  # for the sessions of a server that is stopped
_GONE_SECONDS = 10.0  # for Ray to forget an actor that was killed
_KNOCK_SECONDS = 10.0
_POLL = 0.02

_lock = threading.Lock()
_connections = 0  # RayEngines of this process that are open
_connected_to: str | None = None  # by the first of them; None: the process was connected before


class _Actor(NodeServer):
    """A `NodeServer` that asks Ray where it is."""

    def __init__(self, order: Order) -> None:
        ray: Any = import_module("ray")
        super().__init__(order, ray.util.get_node_ip_address())


class RayEngine:
    """A connection to a Ray cluster: the process's own, else one of ours, shared by all of them.

    Args:
        address: "auto", or HOST:PORT as `ray start` prints it. A process that is connected to Ray
            already takes "auto" for that connection.

    Raises:
        LauncherError: ray is missing, or no cluster runs there.
    """

    def __init__(self, address: str) -> None:
        """Connects."""
        try:
            import ray
        except ImportError:
            raise LauncherError("This needs Ray: pip install 'envring[ray]'") from None
        self._ray: Any = ray
        self._handles: dict[str, Any] = {}  # Ray ends actors that nobody refers to
        self._open = True
        _enter(ray, address)

    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        state: Any = import_module("ray._private.state")
        free = state.available_resources_per_node()
        return [
            Node(
                node["NodeID"],
                node["NodeManagerAddress"],
                node["Resources"].get("CPU", 0.0),
                free.get(node["NodeID"], {}).get("CPU", 0.0),
            )
            for node in self._ray.nodes()
            if node["Alive"]
        ]

    def start(self, order: Order, node: Node) -> None:
        """Starts an actor, on that node if it can."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = self._ray.remote(_Actor).options(
            name=order.name,
            namespace=_NAMESPACE,
            lifetime="detached" if order.lasting else None,
            num_cpus=order.cpus,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=True),
        )
        self._handles[order.name] = actor.remote(order)

    def names(self) -> list[str]:
        """Names of our actors that are not dead for good."""
        found = self._ray.util.list_named_actors(all_namespaces=True)
        return [each["name"] for each in found if each["namespace"] == _NAMESPACE]

    def ask(self, name: str, method: str, seconds: float) -> Any:
        """Calls a method of an actor.

        Raises:
            LaunchError: the actor cannot run there.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                actor = self._handles.get(name) or self._ray.get_actor(name, _NAMESPACE)
                left = max(deadline - time.monotonic(), 0.0)
                return self._ray.get(getattr(actor, method).remote(), timeout=left)
            except ValueError:  # no such actor
                return None
            except self._ray.exceptions.GetTimeoutError:
                return None
            except self._ray.exceptions.ActorUnavailableError:  # it is being started again
                if time.monotonic() >= deadline:
                    return None
                time.sleep(_POLL)
            except self._ray.exceptions.RayError as error:
                if not self._was_replaced(name):
                    raise LaunchError(f"The server {name} cannot run: {error}") from None

    def _was_replaced(self, name: str) -> bool:
        """Whether another process has started a server of ours anew, under its name."""
        try:
            self._ray.get_actor(name, _NAMESPACE)
        except ValueError:
            return False
        return self._handles.pop(name, None) is not None

    def stop(self, name: str) -> None:
        """Closes a server's sessions, then kills its actor."""
        if not self._ray.is_initialized():
            return  # at the end of this process
        with contextlib.suppress(LaunchError):
            self.ask(name, "close", _CLOSE_SECONDS)
        self._handles.pop(name, None)
        deadline = time.monotonic() + _GONE_SECONDS
        while time.monotonic() < deadline:
            try:
                self._ray.kill(self._ray.get_actor(name, _NAMESPACE), no_restart=True)
            except ValueError:
                return
            time.sleep(_POLL)

    def close(self) -> None:
        """Gives the connection back."""
        if self._open:
            self._open = False
            self._handles.clear()
            _leave(self._ray)


def _enter(ray: Any, address: str) -> None:
    global _connections, _connected_to
    with _lock:
        if ray.is_initialized():
            connected = ray.get_runtime_context().gcs_address
            if address not in ("auto", _connected_to, connected):
                raise LauncherError(
                    f"This process is connected to the Ray cluster at {connected}, not {address}: "
                    "ray://auto means that one."
                )
        else:
            try:
                _knock(address)
                ray.init(
                    address=address,
                    namespace=_NAMESPACE,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise LauncherError(
                    f"No Ray cluster answers at {address!r}: {error}. Start one with "
                    "`ray start --head`."
                ) from None
            _connections, _connected_to = 0, address
        _connections += 1


def _knock(address: str) -> None:
    """Sees that something listens there: Ray would try for a minute.

    Raises:
        OSError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


def _leave(ray: Any) -> None:
    global _connections, _connected_to
    with _lock:
        _connections -= 1
        if _connections == 0 and _connected_to is not None:
            _connected_to = None
            if ray.is_initialized():
                ray.shutdown()
