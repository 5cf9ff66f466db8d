# SPDX-License-Identifier: MIT
"""What a request says of its caller."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope


def key_of(headers: Headers) -> str | None:
    """The key that a caller shows: `Authorization: Bearer KEY`, or Basic with it as password.

    A client that only takes an address can be given `http://any:KEY@HOST:PORT`.
    """
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return None
    return None


def peer_of(scope: Scope) -> str:
    """The caller's address."""
    client = scope.get("client")
    return str(client[0]) if client else "unix"


def is_near(headers: Headers) -> bool:
    """Whether a request comes from a program, or from a page of this machine or this address."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        name = urlsplit(origin).hostname or ""
        asked = urlsplit(f"//{headers.get('host', '')}").hostname
        if name == "localhost":
            return True
        # a name could be made to lead here
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or name == asked
