# SPDX-License-Identifier: MIT
"""What happens over a WebSocket, whoever serves it."""

from __future__ import annotations

from typing import Any, Protocol


class Conversation(Protocol):
    """What happens over one WebSocket. Its methods may block; they run in one thread."""

    def open(self, peer: str, key: Any) -> str | None:
        """Begins; an error to send before the connection is closed, or None."""

    def answer(self, text: str | bytes) -> str | None:
        """The answer to a message; None closes the connection, and so does `Close`."""

    def close(self) -> None:
        """Ends it."""

    def abandon(self) -> None:
        """Ends its envs while a call is under way."""

    @property
    def over(self) -> str | None:
        """Why it has ended without its caller, None while it goes on."""
