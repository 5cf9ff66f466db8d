# SPDX-License-Identifier: MIT
"""From addresses of hosts to open connections whose hosts said what room they have."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from envring.errors import AddressError, CodecError, HostRefused, LaunchError, WireError
from envring.pool import ssh
from envring.pool.reception import wait_for_hosts
from envring.pool.remote_errors import rebuild
from envring.transport import codec, frames, packing
from envring.transport.addresses import FIRST_PAUSE, LONGEST_PAUSE, Address, connect
from envring.transport.forked import own
from envring.transport.frames import Link, LinkClosed

HEARTBEAT = 10.0  # seconds of silence after which a host is given up
_HANDSHAKE_SECONDS = 20.0  # for a host that was reached to say who it is


@dataclass
class Dialled:
    """A host, connected.

    Attributes:
        address: of the host.
        link: the connection.
        welcome: what the host says of itself: `free` and `slots` (None: no limit), `workers`,
            `max_frame`, `runtimes`, `features`.
        heartbeat: seconds of silence after which it is given up.
        release: to be called when the host is not needed any longer, for whoever started it.
        dialled_out: whether the host has dialled, so that nobody can dial it.
    """

    address: Address
    link: Link
    welcome: dict[str, Any]
    heartbeat: float
    release: Callable[[], None] = lambda: None
    dialled_out: bool = False


def dial(addresses: Sequence[Address], timeout: float | None) -> list[Dialled]:
    """Connects to hosts.

    Raises:
        LaunchError: one cannot be reached, or refuses; the type says why.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    heartbeats = [_heartbeat(address) for address in addresses]
    with ExitStack() as stack:
        links: list[Link | None] = [None] * len(addresses)
        for i, address in enumerate(addresses):
            if address.scheme == "ssh":  # all of them start at the same time
                links[i] = _own(ssh.start(address), stack)
        found = []
        for address, link, heartbeat in zip(addresses, links, heartbeats, strict=True):
            if address.scheme == "listen":
                for where, guest, welcome in wait_for_hosts(address, deadline, _introduce):
                    link = _own(guest, stack)
                    found.append(Dialled(where, link, welcome, heartbeat, dialled_out=True))
                continue
            if link is None:
                link = _own(_connect(address, deadline), stack)
                welcome = _greet(link, address, time.monotonic() + _HANDSHAKE_SECONDS)
            else:
                link, welcome = _greet_over_ssh(link, address, deadline, stack)
            found.append(Dialled(address, link, welcome, heartbeat))
        stack.pop_all()
    return found


def _own(link: Link, stack: ExitStack) -> Link:
    own(link)
    stack.callback(link.close)
    return link


def _greet_over_ssh(
    link: Link, address: Address, deadline: float | None, stack: ExitStack
) -> tuple[Link, dict[str, Any]]:
    """Waits for a host to start; connects again if there was no connection."""
    pause = FIRST_PAUSE
    while True:
        try:
            return link, _greet(link, address, float("inf") if deadline is None else deadline)
        except LaunchError:
            may_pass = isinstance(link, ssh.SshLink) and link.may_pass
            if not may_pass or (deadline is not None and time.monotonic() + pause >= deadline):
                raise
        link.close()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
        link = _own(ssh.start(address), stack)


def _connect(address: Address, deadline: float | None) -> Link:
    try:
        return connect(address, deadline, lambda: None)
    except TimeoutError as error:
        raise LaunchError(
            f"{address} cannot be reached ({error}). Is `envring serve` running there, and does "
            "the address say where it listens?"
        ) from None


def _heartbeat(address: Address) -> float:
    text = address.options.get("heartbeat")
    try:
        seconds = HEARTBEAT if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise AddressError(f"{address}: heartbeat={text} is not a number of seconds.")
    return seconds


def _greet(link: Link, address: Address, deadline: float) -> dict[str, Any]:
    """Exchanges versions, and introduces us.

    Raises:
        LaunchError: it is not a host of ours, speaks another version, or refuses.
    """
    try:
        link.send_greeting(deadline)
        lowest, highest = link.receive_greeting(deadline)
        if frames.common_version(lowest, highest) is None:
            raise HostRefused(
                f"{address} speaks versions {lowest} to {highest} of the wire, this envring speaks "
                f"{frames.LOWEST} to {frames.VERSION}. Install the same release at both ends.",
                "version",
            )
    except (LinkClosed, TimeoutError, WireError) as error:
        raise _no_host(link, address, error) from None
    return _introduce(link, address, deadline)


def _introduce(link: Link, address: Address, deadline: float) -> dict[str, Any]:
    """Says who we are; returns what the host says of itself.

    Raises:
        LaunchError: it refuses, or is not a host of ours.
    """
    key = address.key
    try:
        hello = {
            "key": key,
            "client_id": address.options.get("session") or secrets.token_hex(8),
            "features": packing.features(),
        }
        try:
            link.send(frames.HELLO, [codec.dumps(hello)], deadline=deadline)
        except LinkClosed as error:
            if error.refusal is not None:
                raise
            # whoever has hung up may have said why before
        frame = link.receive(deadline)
        if frame.head.kind == frames.ERROR:
            raise rebuild(frame.body, range(0), str(address))
        welcome: Any = codec.loads(frame.body) if frame.head.kind == frames.WELCOME else None
        match welcome:
            case {"max_frame": int() as most, "workers": int(), "free": free} if most > 0 and (
                free is None or (type(free) is int and free >= 0)
            ):
                pass
            case _:
                raise WireError(f"{address} did not introduce itself")
    except (LinkClosed, TimeoutError, WireError, CodecError) as error:
        raise _no_host(link, address, error) from None
    link.max_frame = frames.MAX_FRAME
    link.packing = packing.agreed(welcome.get("features"))
    return {**welcome, "features": packing.offered(welcome.get("features"))}


def _no_host(link: Link, address: Address, error: Exception) -> LaunchError:
    if isinstance(link, ssh.SshLink):
        return link.failure(error)
    if isinstance(error, LinkClosed) and error.refusal is not None:
        from envring.transport.tls import not_trusted

        return not_trusted(address, error.refusal)  # TLS 1.3 refuses after the handshake
    reason = str(error) or "it said nothing"
    return LaunchError(f"{address} was reached but does not answer as an env host: {reason}.")
