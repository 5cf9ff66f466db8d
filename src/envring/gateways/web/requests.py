# SPDX-License-Identifier: MIT
"""Bodies of requests and answers: objects of JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from envring.gateways.web import json_text

_READ = "envring.read"
_BODY_SECONDS = 30.0  # for a caller to send its request


def reply(data: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(json_text.dumps(data), status, media_type="application/json")


async def read(
    request: Request,
    *keys: str,
    loads: Callable[[bytes], Any] = json_text.loads,
) -> dict[str, Any] | Response:
    """The object that a request holds, {} if it holds nothing; or what to answer instead.

    Args:
        request: the request.
        *keys: of texts in answers; "detail" if none are given.
        loads: reads the object.
    """
    told = keys or ("detail",)
    known: dict[str, Any] | None = request.scope.get(_READ)  # by another wire at the same path
    if known is not None:
        return known
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > json_text.LONGEST:
                    return _refused(told, "the request is too long", 413)
    except TimeoutError:
        return _refused(told, "the request took too long", 408)
    found = parsed(bytes(body), *told, loads=loads)
    if not isinstance(found, Response):
        request.scope[_READ] = found
    return found


def parsed(
    body: bytes, *keys: str, loads: Callable[[bytes], Any] = json_text.loads
) -> dict[str, Any] | Response:
    """The same of a body that is there; see `read`."""
    try:
        found = loads(body) if body.strip() else {}
    except ValueError as error:
        what = "JSON" if loads is json_text.loads else "request"
        return _refused(keys, f"Invalid {what}: {str(error)[:200]}", 400)
    if found is None:  # as gym-http-api's client says nothing
        found = {}
    return found if isinstance(found, dict) else _refused(keys, "expected an object", 422)


def _refused(keys: tuple[str, ...], text: str, status: int) -> Response:
    return reply(dict.fromkeys(keys, text), status)
