# SPDX-License-Identifier: MIT
"""Hosts that dial out, to callers that wait for them: where no connection can come in."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from envring.errors import AddressError, CodecError, WireError
from envring.pool.remote_errors import rebuild
from envring.transport import codec, frames
from envring.transport.addresses import Address, connect_once
from envring.transport.frames import Link, LinkClosed

if TYPE_CHECKING:
    from envring.gateways.host import Host

log = logging.getLogger("envring.serve")

_CONNECT_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two attempts


class _Refused(Exception):
    """The other end does not want this host."""


def keep_dialling(host: Host, address: Address) -> None:
    """Serves the caller at an address, and the next one there, until the host is closed."""
    pause, told = _FIRST_PAUSE, ""
    while not host.closing.is_set():
        why = _serve_one(host, address)
        if why is None:
            pause, told = _FIRST_PAUSE, ""
        elif why != told:
            log.warning("%s: %s. Trying again until this host is stopped", address, why)
            told = why
        host.closing.wait(pause)
        if why is not None:
            pause = min(2 * pause, _LONGEST_PAUSE)


def _serve_one(host: Host, address: Address) -> str | None:
    """Serves one caller until the connection ends; why there was none, or None."""
    try:
        link = connect_once(address, _CONNECT_SECONDS)
    except AddressError as error:
        return str(error).rstrip(".")
    except OSError as error:
        return error.strerror or str(error) or "no answer"
    try:
        _introduce(host, link, address)
    except (_Refused, LinkClosed, WireError, CodecError, AddressError) as error:
        link.close()
        return str(error).rstrip(".")
    except TimeoutError:
        link.close()
        return "it does not answer"
    log.info("%s waits for hosts and took this one", address)
    return None if host.serve(link, greeted=True) else "it did not go on"


def _introduce(host: Host, link: Link, address: Address) -> None:
    """Says who we are; returns once the other end will go on as a caller."""
    options = host.options
    key = address.key or next(iter(options.keys), None)
    deadline = time.monotonic() + options.handshake_timeout
    link.send_greeting(deadline)
    hello = {
        "role": "host",
        "key": key,
        "client_id": f"{os.uname().nodename}-{os.getpid()}"[-128:],
    }
    link.send(frames.HELLO, [codec.dumps(hello)], deadline=deadline)
    lowest, highest = link.receive_greeting(deadline)
    if frames.common_version(lowest, highest) is None:
        raise _Refused(f"it speaks versions {lowest} to {highest} of the wire, not this host's")
    frame = link.receive(deadline)
    if frame.head.kind == frames.ERROR:
        raise _Refused(str(rebuild(frame.body, range(0), "it")))
    welcome: Any = codec.loads(frame.body) if frame.head.kind == frames.WELCOME else None
    match welcome:
        case {"role": str("caller")}:
            return
    raise _Refused("it does not wait for hosts")
