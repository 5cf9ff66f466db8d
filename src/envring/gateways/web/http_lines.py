# SPDX-License-Identifier: MIT
"""Connections with many requests, in threads of their own; see `lines.py`."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools

from envring.gateways.web import json_text
from envring.gateways.web.lines import Line

_IDLE_SECONDS = 60.0  # between two requests
_LONGEST_HEAD = 1 << 16  # bytes of a request before its body
_CHUNK = 1 << 16
_STATUS = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}


@dataclass
class Plain:
    """A request.

    Attributes:
        scope: what it says, as ASGI has it.
        body: what it holds.
        keeps_alive: whether others may follow.
    """

    scope: dict[str, Any] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    keeps_alive: bool = True


@dataclass
class Answered:
    """The answer to a request."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


class HttpLine(Line):
    """A connection in a thread.

    Args:
        sock: the connection; is taken over.
        data: what has come already.
        scope: what is the same in all requests.
        answer: answers a request, and may block.
        seconds: for a request to come, once it has begun.
        ended: is called when all is over, in the thread.
    """

    def __init__(
        self,
        sock: socket.socket,
        data: bytes,
        scope: dict[str, Any],
        answer: Callable[[Plain], Answered],
        seconds: float,
        ended: Callable[[Line], None],
    ) -> None:
        """Keeps all that."""
        super().__init__(sock, ended)
        self._data = data
        self._scope = scope
        self._answer = answer
        self._seconds = seconds
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._request = Plain()
        self._complete: list[Plain] = []
        self._in_body = False

    def _serve(self) -> None:
        data, began, size = self._data, time.monotonic(), 0
        while data:
            size += len(data)
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self._refuse(400)
                return
            most = 8 * json_text.LONGEST if self._in_body else _LONGEST_HEAD
            if len(self._request.body) > json_text.LONGEST or (size > most and not self._complete):
                self._refuse(413 if self._in_body else 431)
                return
            for request in self._complete:
                began, size = time.monotonic(), 0
                self._busy_since = began
                answered = self._answer(request)
                self._busy_since = None
                self._reply(request, answered)
                if not request.keeps_alive:
                    return
                self._follow()
            self._complete.clear()
            data = self._received(began, size)

    def _received(self, began: float, size: int) -> bytes:
        """What comes next, nothing if that takes too long."""
        limit = time.monotonic() + _IDLE_SECONDS if not size else began + self._seconds
        while True:
            try:
                return self._sock.recv(_CHUNK)
            except BlockingIOError:
                if time.monotonic() > limit:
                    return b""

    def _reply(self, request: Plain, answered: Answered) -> None:
        lines = [_STATUS[answered.status], b"content-length: %d\r\n" % len(answered.body)]
        lines += [b"%b: %b\r\n" % each for each in answered.headers if each[0] != b"content-length"]
        if not request.keeps_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if request.scope["method"] != "HEAD":
            lines.append(answered.body)
        self._write(b"".join(lines))

    def _refuse(self, status: int) -> None:
        self._write(_STATUS[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")

    # -- what the parser tells ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request."""
        self._url, self._headers, self._request = b"", [], Plain()

    def on_url(self, url: bytes) -> None:
        """A part of its address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """All of them: the body begins."""
        self._in_body = True
        self._request.keeps_alive = self._parser.should_keep_alive()
        parsed = httptools.parse_url(self._url)
        path = parsed.path.decode("ascii")
        self._request.scope = {
            **self._scope,
            "method": self._parser.get_method().decode("ascii"),
            "http_version": self._parser.get_http_version(),
            "path": unquote(path) if "%" in path else path,
            "raw_path": parsed.path,
            "query_string": parsed.query or b"",
            "headers": self._headers,
        }
        if (b"expect", b"100-continue") in self._headers:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        if len(self._request.body) <= json_text.LONGEST:
            self._request.body += body

    def on_message_complete(self) -> None:
        """Its end."""
        self._in_body = False
        self._complete.append(self._request)


async def by_asgi(application: Any, request: Plain) -> Answered:
    """The answer of an ASGI application."""
    answered = Answered(500, b"", [])
    parts: list[bytes] = []
    gone = asyncio.Event()
    body = iter([{"type": "http.request", "body": bytes(request.body), "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in body:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.status, answered.headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    await application(request.scope, receive, send)
    answered.body = b"".join(parts)
    return answered
