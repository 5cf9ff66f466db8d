# SPDX-License-Identifier: MIT
"""Sockets that listen, for env hosts and for callers that wait for them."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envring.errors import AddressError
from envring.transport.addresses import Address
from envring.transport.forked import own

if TYPE_CHECKING:
    import ssl

_BACKLOG = 128


def bind(
    address: Address, tls: ssl.SSLContext | None, insecure: bool, advice: str
) -> tuple[Address, socket.socket]:
    """A socket that listens, and its address with the port that it got.

    Args:
        address: where. Port 0 takes a free one.
        tls: of connections, or None.
        insecure: whether others may reach it without TLS.
        advice: what to do if they can.

    Raises:
        AddressError: the address is in use, or not allowed.
    """
    if address.scheme == "unix":
        sock = _bind_unix(address)
        own(sock)
        return address, sock
    family, kind, where = find_place(address, tls is not None, insecure, advice)
    # asyncio switches Nagle's delay off only where the protocol is named
    sock = socket.socket(family, kind, socket.IPPROTO_TCP)
    own(sock)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise AddressError(f"{address} cannot be served: {error.strerror}.") from None
    return replace(address, port=sock.getsockname()[1]), sock


def find_place(
    address: Address, secure: bool, insecure: bool, advice: str
) -> tuple[socket.AddressFamily, socket.SocketKind, Any]:
    """Where an address leads to; see `bind`.

    Raises:
        AddressError: there is no such place, or others may not reach it without TLS.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AddressError(f"{address} cannot be served: {error.strerror}.") from None
    family, kind, _, _, where = found[0]
    public = not ipaddress.ip_address(where[0]).is_loopback
    if public and not secure and not insecure:
        raise AddressError(
            f"{address} can be reached by others, who could read and change what is sent. {advice}"
        )
    return family, kind, where


def _bind_unix(address: Address) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(address.path).st_mode) and not _answers(address.path):
                os.unlink(address.path)  # of a host that was killed
        mask = os.umask(0o177)
        try:
            sock.bind(address.path)
        finally:
            os.umask(mask)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise AddressError(f"{address} cannot be served: {error.strerror or error}.") from None
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
