# SPDX-License-Identifier: MIT
"""The ASGI application of a host: all wires over HTTP and WebSockets.

`host.asgi()` makes one, for a server of the user's own; `--listen http://...` serves it by uvicorn.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, Any

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from envring.errors import HostRefused
from envring.gateways.guests import Guests
from envring.gateways.web import json_text
from envring.gateways.web.callers import is_near, key_of, peer_of
from envring.gateways.web.calls import Calls, Threads
from envring.gateways.web.closing import Close
from envring.gateways.web.conversations import Conversation
from envring.gateways.web.gym_http import GymHttp
from envring.gateways.web.gymie import Conversation as GymieConversation
from envring.gateways.web.gymie import Instances
from envring.gateways.web.http_lines import Answered, HttpLine, Plain, by_asgi
from envring.gateways.web.lines import Line, WebSocketLine, short
from envring.gateways.web.openenv import Conversation as OpenEnvConversation
from envring.gateways.web.openenv_routes import OpenEnv
from envring.gateways.web.openenv_routes import routes as openenv
from envring.gateways.web.remote_gymnasium import RemoteGymnasium
from envring.gateways.web.requests import reply

if TYPE_CHECKING:
    from envring.gateways.host import Host

_LOOK_SECONDS = 0.25  # between two looks whether sessions have ended
_LONG_SECONDS = 1.0  # of a call, until one looks whether its caller is still there
_MOST_LINES = 4096  # at a time
_END_SECONDS = 2.0  # for WebSockets to say why they end
_GOING_AWAY = 1001
HAS_ROOM = "envring.has_room"
"""In a scope: whether the host has room for the connection; one without room is not counted."""


class Application:
    """An ASGI application.

    Args:
        host: whose envs it serves.

    Attributes:
        host: the same.
        guests: sessions of it for callers that speak these wires.
        lines: WebSockets that have threads of their own.
    """

    def __init__(self, host: Host) -> None:
        """Makes the routes."""
        self.guests = Guests(host)
        self.lines: set[Line] = set()
        self.host = host
        self._open: dict[WebSocket, Conversation] = {}
        self._watch: asyncio.Task[None] | None = None
        self._instances = Instances()
        self._threads = Threads()
        self._remote_gymnasium = RemoteGymnasium(self)
        self._gym_http = GymHttp(self)
        requests = OpenEnv(self)
        shared = {"/reset": requests.reset, "/step": requests.step}
        self._router = Router(
            [
                *self._remote_gymnasium.routes(shared),
                *openenv(requests),
                *self._gym_http.routes(),
                *self._websockets(),
                Route("/gym", _no_websocket, methods=["GET"]),
                Route("/{path:path}", _running, methods=["GET"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request or a WebSocket, if its caller may come in."""
        if scope["type"] in ("http", "websocket"):
            refused = self._refusal(scope)
            if refused is not None:
                await self._refuse(refused, scope, receive, send)
                return
        await self._router(scope, receive, send)

    async def _refuse(self, refused: Response, scope: Scope, receive: Receive, send: Send) -> None:
        self.host.sessions.counts["refused"] += 1
        if scope["type"] == "websocket":
            websocket = WebSocket(scope, receive, send)
            with contextlib.suppress(RuntimeError):  # a server that cannot say why
                await websocket.send_denial_response(refused)
        else:
            await refused(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        try:
            self.guests.check_key(key_of(headers))
        except HostRefused as error:
            refused = _refused(str(error), 401)
            refused.headers["WWW-Authenticate"] = 'Bearer realm="envring"'
            return refused
        if not (self.host.options.keys or is_near(headers)):
            # else every page that a user of this machine looks at could use the envs
            return _refused("Pages of other origins need a key.", 403)
        if not scope.get(HAS_ROOM, True):
            return _crowded()
        return None

    async def converse(self, websocket: WebSocket, conversation: Conversation) -> None:
        """Serves a WebSocket until it ends."""
        peer = peer_of(websocket.scope)
        if not self.host.arrive(peer):
            self.host.leave(peer)
            await self._refuse(_crowded(), websocket.scope, websocket.receive, websocket.send)
            return
        calls = Calls()
        self._open[websocket] = conversation
        try:
            await websocket.accept()
            if self._watch is None or self._watch.done():
                self._watch = asyncio.get_running_loop().create_task(self._look_after())
            await _converse(websocket, conversation, calls, peer)
        except Close as error:
            await _close(websocket, error.code, error.reason)
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # the caller went away, or the session has ended
        finally:
            del self._open[websocket]
            calls.finish(conversation.close)
            self.host.leave(peer)
        await _close(websocket, 1000, "")

    def take_over(self, scope: Scope, request: bytes, sock: Callable[[], socket]) -> bool:
        """Serves a WebSocket in a thread of its own, if its caller may come in; whether it does.

        Args:
            scope: says who calls whom.
            request: the bytes of the request to upgrade.
            sock: gives the connection away, which the host has counted.
        """
        conversation = self.conversation(scope["path"])
        if conversation is None or len(self.lines) >= _MOST_LINES or self._refusal(scope):
            return False
        peer, key = peer_of(scope), key_of(Headers(scope=scope))
        most = min(self.host.options.max_frame, json_text.LONGEST)
        line = WebSocketLine(
            sock(), request, conversation, peer, key, most, partial(self._ended, peer)
        )
        self._start(line)
        return True

    def take_requests(
        self, scope: Scope, data: bytes, seconds: float, sock: Callable[[], socket]
    ) -> bool:
        """Answers the requests of a connection in a thread of its own; whether it does.

        Args:
            scope: what is the same in all requests.
            data: what has come already.
            seconds: for a request to come, once it has begun.
            sock: gives the connection away, which the host has counted.
        """
        if len(self.lines) >= _MOST_LINES:
            return False
        loop = asyncio.get_running_loop()

        def answer(request: Plain) -> Answered:
            refused = self._refusal(request.scope)
            found = None if refused is not None else self._answer(request)
            if found is not None:
                return Answered(found.status_code, bytes(found.body), found.raw_headers)
            coroutine = by_asgi(self, request)
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        ended = partial(self._ended, peer_of(scope))
        self._start(HttpLine(sock(), data, dict(scope), answer, seconds, ended))
        return True

    def _answer(self, request: Plain) -> Response | None:
        """Answers without the event loop what most requests ask."""
        return self._remote_gymnasium.answer(request) or self._gym_http.answer(request)

    def _ended(self, peer: str, line: Line) -> None:
        self.lines.discard(line)
        self.host.leave(peer)

    def _start(self, line: Line) -> None:
        self.lines.add(line)
        line.start()
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._look_after())

    def conversation(self, path: str) -> Conversation | None:
        """What happens over a WebSocket at a path; None if there is none."""
        if path == "/gym":
            return GymieConversation(self.guests, self._instances)
        if path == "/ws":
            return OpenEnvConversation(self.guests, None)
        if path.startswith("/openenv/") and path.endswith("/ws"):
            return OpenEnvConversation(self.guests, path[9:-3])
        return None

    def _websockets(self) -> list[BaseRoute]:
        async def converse(websocket: WebSocket) -> None:
            path = get_route_path(websocket.scope)
            conversation = self.conversation(path)
            assert conversation is not None
            await self.converse(websocket, conversation)

        paths = ("/gym", "/ws", "/openenv/{env:path}/ws")
        return [WebSocketRoute(path, converse) for path in paths]

    async def _look_after(self) -> None:
        """Tells callers whose sessions the host has ended; looks for those that went away."""
        while self._open or self.lines:
            for line in list(self.lines):
                if line.is_left():
                    Calls().finish(line.abandon)
            for websocket, conversation in list(self._open.items()):
                if conversation.over is not None:
                    await _close(websocket, _GOING_AWAY, conversation.over)
            await asyncio.sleep(_LOOK_SECONDS)

    async def once(self, call: Callable[[], Any]) -> Any:
        """Runs a call that may block, in a thread."""
        return await self._threads.run(call)

    def close(self) -> None:
        """Ends its threads, once the host is over."""
        deadline = time.monotonic() + _END_SECONDS
        while self.lines and time.monotonic() < deadline:
            time.sleep(0.02)  # polling, bounded by the deadline
        for line in list(self.lines):
            line.shut_down()
        self._threads.close()


async def _converse(
    websocket: WebSocket, conversation: Conversation, calls: Calls, peer: str
) -> None:
    call = calls.run(conversation.open, peer, key_of(websocket.headers))
    early = await _message_before(call, websocket, conversation)
    problem = await call
    if problem is not None:
        await websocket.send_text(problem)
        return
    while True:
        message = await (early or websocket.receive())
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        call = calls.run(conversation.answer, message.get("bytes") if text is None else text)
        early = await _message_before(call, websocket, conversation)
        answer = await call
        if answer is None:
            return
        await websocket.send_text(answer)


async def _message_before(
    call: asyncio.Future[Any], websocket: WebSocket, conversation: Conversation
) -> asyncio.Future[Message] | None:
    """A message that comes before a long call ends, which is abandoned if its caller goes away."""
    await asyncio.wait((call,), timeout=_LONG_SECONDS)
    if call.done():
        return None
    early = asyncio.ensure_future(websocket.receive())
    await asyncio.wait((call, early), return_when=asyncio.FIRST_COMPLETED)
    if not call.done() and early.result()["type"] == "websocket.disconnect":
        Calls().finish(conversation.abandon)
        raise WebSocketDisconnect
    return early


def _refused(text: str, status: int) -> Response:
    """Says why, in the words of all wires."""
    return reply({"error": text, "detail": text, "message": text}, status)


def _crowded() -> Response:
    refused = _refused("There are too many connections of yours.", 503)
    refused.headers["Connection"] = "close"
    return refused


async def _no_websocket(_: Request) -> PlainTextResponse:
    return PlainTextResponse("Expected a WebSocket.", 400)


async def _running(_: Request) -> PlainTextResponse:
    return PlainTextResponse("Gymie is running...", headers={"Content-Type": "text/plain"})


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # it was closed already
        await websocket.close(code, short(reason))
