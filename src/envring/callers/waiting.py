# SPDX-License-Identifier: MIT
"""How long servers of other projects are waited for."""

from __future__ import annotations

from envring.errors import AddressError, HostLost
from envring.transport.addresses import Address

CONNECT_SECONDS = 10.0  # for a server to be reached
_ANSWER_SECONDS = 60.0  # for each answer, where the address says nothing


def answer_seconds(address: Address) -> float:
    """Seconds in which each answer must come.

    Raises:
        AddressError: the address says something else than a number.
    """
    text = address.options.get("timeout")
    try:
        seconds = _ANSWER_SECONDS if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise AddressError(f"{address}: timeout={text} is not a number of seconds.")
    return seconds


def lost(address: Address, why: str) -> HostLost:
    """The error of a server that was there once."""
    return HostLost((0,), str(address), why.rstrip("."))
