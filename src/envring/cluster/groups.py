# SPDX-License-Identifier: MIT
"""Groups of servers: started together, spread over the nodes, stopped together."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from envring.cluster import credentials
from envring.cluster.engine import Engine, Node, Order
from envring.errors import HostRefused, LaunchError
from envring.gateways.runtimes import Runtime
from envring.transport.addresses import Address, parse

START_SECONDS = 600.0  # for servers to be up, where nobody says otherwise
_PORTS = range(20000, 32000)  # of servers; below those that connections take
_SETTLE_SECONDS = 3.0  # for an engine to notice what was given back a moment ago
_PAUSE = 0.2  # seconds between two looks at what the engine has


@dataclass(frozen=True)
class Plan:
    """A group that is to be started.

    Attributes:
        name: of the group.
        runtimes: what its servers serve.
        count: number of servers; None for one on each node that has room.
        cpus: CPUs of each.
        slots: the most envs of each, None for no limit.
        port: of the first one; the others follow. None for any.
        key: that callers must show; None for a random one.
        lasting: whether the group outlives the caller.
        insecure: whether other machines may reach it without TLS.
    """

    name: str
    runtimes: Sequence[Runtime]
    count: int | None = None
    cpus: float = 1.0
    slots: int | None = None
    port: int | None = None
    key: str | None = None
    lasting: bool = False
    insecure: bool = False


def start(
    engine: Engine, plan: Plan, wait: float = 0.0, timeout: float | None = START_SECONDS
) -> list[tuple[str, Address]]:
    """Starts a group; one of that name is stopped first.

    Args:
        engine: the cluster.
        plan: what to start.
        wait: seconds for room, if there is none now.
        timeout: seconds for the servers to be up, None for no limit.

    Returns:
        The name and address of each server.

    Raises:
        HostRefused: there is no room for that many. Nothing was started.
        LaunchError: one cannot serve, or is not up in time. Nothing is left of the group.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    stop(engine, plan.name)
    nodes = _find_room(engine, plan, wait)
    key = plan.key or secrets.token_hex(32)
    shown = None if plan.insecure else credentials.new()
    names = [f"{plan.name}/{number}" for number in range(len(nodes))]
    try:
        for number, (name, node) in enumerate(zip(names, nodes, strict=True)):
            # the same one when it is started again there: its address stays
            port = random.choice(_PORTS) if plan.port is None else plan.port + number
            order = Order(
                name,
                plan.runtimes,
                key,
                plan.cpus,
                plan.slots,
                port,
                plan.lasting,
                shown,
                plan.insecure,
            )
            engine.start(order, node)
        return [(name, address_of(engine, name, deadline)) for name in names]
    except BaseException:
        for name in names:
            engine.stop(name)
        raise


def _find_room(engine: Engine, plan: Plan, wait: float) -> list[Node]:
    """A node for each server.

    Raises:
        HostRefused: there are not enough.
    """
    deadline = time.monotonic() + max(wait, _SETTLE_SECONDS)
    while True:
        nodes = engine.nodes()
        found = spread(nodes, plan.count, plan.cpus)
        if found:
            return found
        empty = [replace(node, free=node.cpus) for node in nodes]
        hopeless = not wait and not spread(empty, plan.count, plan.cpus)
        if hopeless or time.monotonic() >= deadline:
            raise HostRefused(_no_room(nodes, plan), "full")
        time.sleep(_PAUSE)


def spread(nodes: Sequence[Node], count: int | None, cpus: float) -> list[Node]:
    """A node for each of so many servers, or an empty list if there is no room for them.

    The next one goes to the node with the fewest of them, and of these to the one with most room.
    """
    free = {node.id: node.free for node in nodes}
    taken = dict.fromkeys(free, 0)
    if count is None:
        count = sum(each >= cpus for each in free.values())
    found: list[Node] = []
    for _ in range(count):
        open_to = [node for node in nodes if free[node.id] >= cpus]
        if not open_to:
            return []
        node = min(open_to, key=lambda node: (taken[node.id], -free[node.id]))
        free[node.id] -= cpus
        taken[node.id] += 1
        found.append(node)
    return found


def _no_room(nodes: Sequence[Node], plan: Plan) -> str:
    total = sum(node.cpus for node in nodes)
    used = total - sum(node.free for node in nodes)
    each = "; ".join(
        f"{node.address} has {node.cpus - node.free:g} of {node.cpus:g} used" for node in nodes
    )
    what = "A server needs" if plan.count is None else f"{plan.count} servers need"
    return (
        f"No resources: {what} {plan.cpus:g} CPUs each, and {used:g} of {total:g} CPUs of "
        f"{len(nodes)} nodes are used ({each}). Ask for fewer, or stop what takes them."
    )


def address_of(engine: Engine, name: str, deadline: float | None) -> Address:
    """Where a server listens, with the key and the certificate to trust in it.

    Raises:
        LaunchError: it cannot serve, or is not up in time.
    """
    left = START_SECONDS if deadline is None else max(deadline - time.monotonic(), 0.1)
    found = engine.ask(name, "endpoint", left)
    if found is None:
        raise LaunchError(f"The server {name} was not up in time. See the engine's logs.")
    if "error" in found:
        raise LaunchError(f"The server {name} cannot serve: {found['error']}")
    address = replace(parse(found["url"]), secret=found["key"])
    if address.scheme != "tls":
        return address
    return replace(address, options={"name": credentials.NAME}, authority=found["authority"])


def members(engine: Engine, group: str) -> list[str]:
    """Names of the servers of a group, in order."""
    found = [name for name in engine.names() if name.rpartition("/")[0] == group]
    return sorted(found, key=lambda name: int(name.rpartition("/")[2]))


def stop(engine: Engine, group: str) -> list[str]:
    """Stops a group; returns the names of what it had."""
    found = members(engine, group)
    for name in found:
        engine.stop(name)
    return found
