# SPDX-License-Identifier: MIT
"""How a conversation ends its WebSocket."""

from __future__ import annotations


class Close(Exception):
    """Raised by a conversation: the connection is to be closed.

    Attributes:
        code: of the WebSocket's close frame.
        reason: in it.
    """

    def __init__(self, code: int, reason: str) -> None:
        """The arguments are the attributes."""
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
