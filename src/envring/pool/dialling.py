# SPDX-License-Identifier: MIT
"""From addresses of hosts to open connections whose hosts said what room they have."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from envring.errors import AddressError, CodecError, HostRefused, LaunchError, WireError
from envring.pool.remote_errors import rebuild
from envring.transport import codec, frames
from envring.transport.addresses import Address, connect, not_trusted
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
            `max_frame`, `runtimes`.
        heartbeat: seconds of silence after which it is given up.
        release: to be called when the host is not needed any longer, for whoever started it.
    """

    address: Address
    link: Link
    welcome: dict[str, Any]
    heartbeat: float
    release: Callable[[], None] = lambda: None


def dial(addresses: Sequence[Address], timeout: float | None) -> list[Dialled]:
    """Connects to hosts.

    Raises:
        LaunchError: one cannot be reached, or refuses; the type says why.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    found: list[Dialled] = []
    try:
        for address in addresses:
            heartbeat = _heartbeat(address)
            try:
                link = connect(address, deadline, lambda: None)
            except TimeoutError as error:
                raise LaunchError(
                    f"{address} cannot be reached ({error}). Is `envring serve` running there, and "
                    "does the address say where it listens?"
                ) from None
            own(link)
            try:
                found.append(Dialled(address, link, _greet(link, address), heartbeat))
            except BaseException:
                link.close()
                raise
    except BaseException:
        for each in found:
            each.link.close()
        raise
    return found


def _heartbeat(address: Address) -> float:
    text = address.options.get("heartbeat")
    try:
        seconds = HEARTBEAT if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise AddressError(f"{address}: heartbeat={text} is not a number of seconds.")
    return seconds


def _greet(link: Link, address: Address) -> dict[str, Any]:
    """Says who we are; returns what the host says of itself.

    Raises:
        LaunchError: it is not a host of ours, speaks another version, or refuses.
    """
    deadline = time.monotonic() + _HANDSHAKE_SECONDS
    key = address.key
    try:
        link.send_greeting(deadline)
        lowest, highest = link.receive_greeting(deadline)
        if frames.common_version(lowest, highest) is None:
            raise HostRefused(
                f"{address} speaks versions {lowest} to {highest} of the wire, this envring speaks "
                f"{frames.LOWEST} to {frames.VERSION}. Install the same release at both ends.",
                "version",
            )
        hello = {
            "key": key,
            "client_id": address.options.get("session") or secrets.token_hex(8),
        }
        link.send(frames.HELLO, [codec.dumps(hello)], deadline=deadline)
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
        if isinstance(error, LinkClosed) and error.refusal is not None:
            # TLS 1.3 refuses after the handshake
            raise not_trusted(address, error.refusal) from None
        reason = str(error) or "it said nothing"
        raise LaunchError(
            f"{address} was reached but does not answer as an env host: {reason}."
        ) from None
    link.max_frame = frames.MAX_FRAME
    found: dict[str, Any] = welcome
    return found
