# SPDX-License-Identifier: MIT
"""What an engine runs on a node: a host in that process, and what it says of itself."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from envring.cluster.engine import Order
from envring.errors import AddressError, EnvringError
from envring.gateways.host import Host
from envring.gateways.serving import serve


class NodeServer:
    """A host that an engine started. Its methods return plain data."""

    def __init__(self, order: Order, address: str) -> None:
        """Begins to serve.

        Args:
            order: what was asked for.
            address: of this node, by which callers reach it.
        """
        self._key = order.key
        self._authority = ""
        self._host: Host | None = None
        self._error = ""
        try:
            self._host = _serve(order, address)
            if self._host.url.startswith("tls://") and order.credentials is not None:
                self._authority = order.credentials.authority
        except EnvringError as error:  # it would be the same again: the caller is to be told
            self._error = f"{type(error).__name__}: {error}"

    def endpoint(self) -> Mapping[str, str]:
        """`url`, `key` and `authority` for callers, or the `error` that keeps it from serving.

        The authority is the certificate to trust, "" without TLS.
        """
        if self._host is None:
            return {"error": self._error}
        return {"url": self._host.url, "key": self._key, "authority": self._authority}

    def status(self) -> Mapping[str, Any]:
        """What it does now: nothing secret."""
        host = self._host
        if host is None:
            return {"error": self._error}
        return {
            "url": host.url,
            "pid": os.getpid(),
            "sessions": len(host.sessions),
            "used": host.sessions.used(),
            "slots": host.sessions.slots,
            "steps": host.sessions.steps,
            "at": time.monotonic(),
        }

    def close(self) -> bool:
        """Ends every session; True."""
        if self._host is not None:
            self._host.close()
        return True


def _serve(order: Order, address: str) -> Host:
    """A host that this machine reaches without TLS, and others with it."""
    workers = max(1, int(order.cpus))
    runtimes = [replace(each, workers=each.workers or workers) for each in order.runtimes]
    host = f"[{address}]" if ":" in address else address
    with contextlib.ExitStack() as stack:
        files: dict[str, Any] = {}
        if not (order.insecure or _is_loopback(address)):
            if order.credentials is None:
                raise AddressError(
                    f"{address} can be reached by others, and there are no certificates: pip "
                    "install 'envring[remote]' at the caller, or say insecure=1 (--insecure) if "
                    "the network is yours alone."
                )
            files["cert"], files["certkey"] = stack.enter_context(order.credentials.files())
        for port in (order.port, 0):
            try:
                return serve(
                    listen=f"{'tls' if files else 'tcp'}://{host}:{port}",
                    num_envs=order.slots,
                    runtimes=runtimes,
                    keys=[order.key],
                    insecure=order.insecure,
                    **files,
                )
            except AddressError:
                if not port:
                    raise
    raise AssertionError


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # a name
        return False
