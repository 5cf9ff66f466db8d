# SPDX-License-Identifier: MIT
"""Callers of hosts that speak the wire by hand."""

from __future__ import annotations

import socket
import time
from typing import Any

from envring.transport import codec, frames
from envring.transport.frames import Link


def until(seconds: float = 20) -> float:
    """The deadline that many seconds from now."""
    return time.monotonic() + seconds


def connect(url: str) -> Link:
    """A connection that has greeted."""
    name, port = url.removeprefix("tcp://").split(":")
    link = Link(socket.create_connection((name, int(port))), url)
    link.send_greeting(until(5))
    link.receive_greeting(until(5))
    return link


def introduced(url: str, client_id: str) -> Link:
    """A connection that has said hello."""
    link = connect(url)
    link.max_frame = frames.MAX_FRAME
    assert ask(link, frames.HELLO, {"client_id": client_id})[0] == frames.WELCOME
    return link


def ask(link: Link, kind: int, value: Any, **kwargs: Any) -> tuple[int, Any]:
    """Kind and value of the answer to a request."""
    link.send(kind, [codec.dumps(value)], **kwargs)
    frame = link.receive(until())
    return frame.head.kind, codec.loads(frame.body)
