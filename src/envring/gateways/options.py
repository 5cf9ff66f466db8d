# SPDX-License-Identifier: MIT
"""How a host treats its callers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from envring.transport.addresses import is_known, key_bytes


@dataclass(frozen=True)
class HostOptions:
    """Limits of a host.

    Attributes:
        keys: what callers may show; none at all: no key is needed.
        grace: seconds for which a session waits for a caller that was cut off.
        idle_timeout: seconds after which a session is closed whose caller asks nothing, or None.
        first_step_timeout: the same for a session that was never stepped.
        drain: seconds that running sessions get when the host is to end.
        max_sessions: the most sessions at a time.
        max_connections: the most connections of one peer at a time.
        max_frame: bytes of a frame that is accepted; while one is decoded, others wait.
        handshake_timeout: seconds for a peer to show its key.
        insecure: whether addresses other than this machine's may be served without TLS.
    """

    keys: Sequence[str] = ()
    grace: float = 30.0
    idle_timeout: float | None = None
    first_step_timeout: float | None = None
    drain: float = 30.0
    max_sessions: int = 256
    max_connections: int = 256
    max_frame: int = 1 << 26
    handshake_timeout: float = 10.0
    insecure: bool = False

    def admits(self, key: object) -> bool:
        """Whether a caller that shows this may come in. Takes as long for every wrong key."""
        return is_known(key, self.keys)

    def digest(self, key: object) -> bytes:
        """Tells callers apart by their keys; the same for all where no key is needed."""
        return hashlib.sha256(key_bytes(key)).digest() if self.keys else b""
