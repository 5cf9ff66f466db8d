# SPDX-License-Identifier: MIT
"""A caller that waits for hosts which dial out: remotes="listen://HOST:PORT?n=4"."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envring.errors import AddressError, EnvringError, HostRefused, LaunchError
from envring.pool.remote_errors import describe
from envring.transport import codec, frames
from envring.transport.addresses import Address, is_known, no_delay
from envring.transport.frames import Link, LinkClosed
from envring.transport.listening import bind

if TYPE_CHECKING:
    import ssl

log = logging.getLogger("envring")

_HANDSHAKE_SECONDS = 10.0
_TICK = 0.05  # seconds between two looks at who is ready
_MOST_GUESTS = 64  # beyond those that are waited for
_SHOWN_REASONS = 5

Greet = Callable[[Link, Address, float], dict[str, Any]]


class _Guest(threading.Thread):
    """Whoever has connected, until it is known as a host or refused.

    Attributes:
        address: of the other end.
        name_there: what it calls itself.
        link: the connection, once the other end is known as a host.
        welcome: what the host said of itself.
        why_not: why it was refused, or "".
    """

    def __init__(
        self,
        sock: socket.socket,
        address: Address,
        tls: ssl.SSLContext | None,
        key: str | None,
        greet: Greet,
    ) -> None:
        super().__init__(name="envring-guest", daemon=True)
        self.address = address
        self.name_there = ""
        self.link: Link | None = None
        self.welcome: dict[str, Any] = {}
        self.why_not = ""
        self._sock = sock
        self._tls = tls
        self._key = key
        self._greet = greet

    def run(self) -> None:
        deadline = time.monotonic() + _HANDSHAKE_SECONDS
        try:
            no_delay(self._sock)
            if self._tls is not None:
                self._sock.settimeout(_HANDSHAKE_SECONDS)
                self._sock = wrapped = self._tls.wrap_socket(
                    self._sock, server_side=True, do_handshake_on_connect=False
                )
                wrapped.do_handshake()
            link = Link(self._sock, str(self.address))
            self._admit(link, deadline)
            self.welcome = self._greet(link, self.address, deadline)
            self.link = link
        except (OSError, EnvringError) as error:
            self.why_not = str(error) or "it said nothing"
            log.warning("%s is not one of the hosts to wait for: %s", self.address, self.why_not)
            self._sock.close()

    def _admit(self, link: Link, deadline: float) -> None:
        """Lets a host in that shows the key.

        Raises:
            HostRefused: it is not a host, or does not show it; it was told.
        """
        lowest, highest = link.receive_greeting(deadline)
        link.send_greeting(deadline)
        try:
            if frames.common_version(lowest, highest) is None:
                raise HostRefused(
                    f"The host speaks versions {lowest} to {highest} of the wire, this caller "
                    f"{frames.LOWEST} to {frames.VERSION}.",
                    "version",
                )
            frame = link.receive(deadline)
            hello: Any = codec.loads(frame.body) if frame.head.kind == frames.HELLO else None
            match hello:
                case {"role": str("host"), "client_id": str() as name}:
                    self.name_there = name
                case _:
                    raise HostRefused(
                        "This caller waits for hosts: envring serve ENV --connect URL.", "role"
                    )
            if not is_known(hello.get("key"), [] if self._key is None else [self._key]):
                raise HostRefused("The key is missing or wrong.", "key")
        except HostRefused as error:
            with contextlib.suppress(LinkClosed):
                link.send(frames.ERROR, [describe(error)], deadline=deadline)
            raise
        welcome = {"role": "caller"}
        link.send(frames.WELCOME, [codec.dumps(welcome)], deadline=deadline)

    @property
    def is_here(self) -> bool:
        """Whether it is a host that is still there."""
        return self.link is not None and not self.link.has_hung_up()

    def send_away(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self.join(_HANDSHAKE_SECONDS)
        self._sock.close()


def wait_for_hosts(
    address: Address, deadline: float | None, greet: Greet
) -> list[tuple[Address, Link, dict[str, Any]]]:
    """Waits until `n` hosts have dialled in.

    Args:
        address: where to listen.
        deadline: time.monotonic() at which to give up, or None.
        greet: greets a host as any caller does, and returns what the host says of itself.

    Returns:
        Address, connection and welcome of each, in the order of their names.

    Raises:
        AddressError: the address is in use, not allowed, or its options are malformed.
        LaunchError: not all of them came in time.
    """
    count, key, options = _count(address), address.key, address.options
    most = count + _MOST_GUESTS
    tls = None
    if "cert" in options:
        from envring.transport.tls import server_context

        paths = [options.get(name) for name in ("cert", "certkey", "client_ca")]
        tls = server_context(*(path and os.path.expanduser(path) for path in paths))
    address, sock = bind(
        address,
        tls,
        options.get("insecure") == "1",
        "Give cert=FILE&certkey=FILE, or insecure=1 if the network is yours alone.",
    )
    how = f"envring serve ENV --connect {_dialled(address, tls is not None)}"
    log.info("waiting for %d env hosts: %s", count, how)
    guests: list[_Guest] = []
    chosen: list[_Guest] = []
    refused: dict[str, None] = {}
    try:
        while len(chosen) < count:
            if deadline is not None and time.monotonic() >= deadline:
                raise LaunchError(_too_few(address, count, len(chosen), refused, how))
            guests = [guest for guest in guests if not _is_over(guest, refused)]
            guest = _accept(sock, address, tls, key, greet) if len(guests) < most else None
            guests += [] if guest is None else [guest]
            chosen = [guest for guest in guests if guest.is_here][:count]
    except BaseException:
        chosen = []
        raise
    finally:
        sock.close()
        for guest in guests:
            if guest not in chosen:
                guest.send_away()
    chosen.sort(key=lambda guest: guest.name_there)
    return [(guest.address, guest.link, guest.welcome) for guest in chosen if guest.link]


def _count(address: Address) -> int:
    text = address.options.get("n", "1")
    if not text.isdecimal() or int(text) < 1:
        raise AddressError(f"{address}: n={text} is not a number of hosts.")
    return int(text)


def _is_over(guest: _Guest, refused: dict[str, None]) -> bool:
    """Whether it was refused, which is noted, or has left."""
    if guest.is_alive() or guest.is_here:
        return False
    guest.send_away()
    if guest.why_not and len(refused) < _SHOWN_REASONS:
        refused[guest.why_not] = None
    return True


def _accept(
    sock: socket.socket,
    address: Address,
    tls: ssl.SSLContext | None,
    key: str | None,
    greet: Greet,
) -> _Guest | None:
    """The next one, if one comes soon."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(_TICK * 1000):
        return None
    try:
        connected, peer = sock.accept()
    except OSError:
        return None  # it is gone already
    scheme = "tcp" if tls is None else "tls"
    there = replace(address, scheme=scheme, host=peer[0], port=peer[1])
    guest = _Guest(connected, there, tls, key, greet)
    guest.start()
    return guest


def _dialled(address: Address, with_tls: bool) -> str:
    host = address.host
    if host in ("0.0.0.0", "::"):
        host = os.uname().nodename
    return str(replace(address, scheme="tls" if with_tls else "tcp", host=host))


def _too_few(address: Address, count: int, here: int, refused: Iterable[str], how: str) -> str:
    text = (
        f"{here} of the {count} env hosts that {address} waits for came within start_timeout. "
        f"Start the others: {how}"
    )
    reasons = " ".join(refused)
    return text + (f"\nOthers were refused: {reasons}" if reasons else "")
