# SPDX-License-Identifier: MIT
"""Bodies of requests and answers: objects of JSON."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from envring.gateways.web import json_text

_BODY_SECONDS = 30.0  # for a caller to send its request


def reply(data: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(json_text.dumps(data), status, media_type="application/json")


async def read(request: Request, key: str = "detail") -> dict[str, Any] | Response:
    """The object that a request holds, {} if it holds nothing; or what to answer instead.

    Args:
        request: the request.
        key: of texts in answers.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > json_text.LONGEST:
                    return reply({key: "the request is too long"}, 413)
        found = json_text.loads(bytes(body)) if body.strip() else {}
    except TimeoutError:
        return reply({key: "the request took too long"}, 408)
    except ValueError as error:
        return reply({key: f"Invalid JSON: {str(error)[:200]}"}, 400)
    if not isinstance(found, dict):
        return reply({key: "expected an object"}, 422)
    return found
