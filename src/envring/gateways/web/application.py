# SPDX-License-Identifier: MIT
"""The ASGI application of a host: all wires over HTTP and WebSockets.

`host.asgi()` makes one, for a server of the user's own; `--listen http://...` serves it by uvicorn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from envring.errors import HostRefused
from envring.gateways.guests import Guests
from envring.gateways.web.callers import is_near, key_of, peer_of
from envring.gateways.web.calls import Calls, Threads
from envring.gateways.web.closing import Close
from envring.gateways.web.gym_http import GymHttp
from envring.gateways.web.gymie import Conversation as GymieConversation
from envring.gateways.web.gymie import Instances
from envring.gateways.web.openenv_routes import OpenEnv
from envring.gateways.web.openenv_routes import routes as openenv
from envring.gateways.web.remote_gymnasium import RemoteGymnasium
from envring.gateways.web.requests import reply

if TYPE_CHECKING:
    from envring.gateways.host import Host

_LOOK_SECONDS = 0.25  # between two looks whether sessions have ended
_LONG_SECONDS = 1.0  # of a call, until one looks whether its caller is still there
_LONGEST_REASON = 120  # bytes of a reason to close a WebSocket: the protocol has room for 123
_GOING_AWAY = 1001


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


class Application:
    """An ASGI application.

    Args:
        host: whose envs it serves.

    Attributes:
        guests: sessions of the host for callers that speak these wires.
    """

    def __init__(self, host: Host) -> None:
        """Makes the routes."""
        self.guests = Guests(host)
        self._host = host
        self._peers: Counter[str] = Counter()
        self._open: dict[WebSocket, Conversation] = {}
        self._watch: asyncio.Task[None] | None = None
        self._instances = Instances()
        self._threads = Threads()
        requests = OpenEnv(self)
        shared = {"/reset": requests.reset, "/step": requests.step}
        self._router = Router(
            [
                *RemoteGymnasium(self).routes(shared),
                *openenv(requests),
                *GymHttp(self).routes(),
                WebSocketRoute("/gym", self._gymie),
                Route("/gym", _no_websocket, methods=["GET"]),
                Route("/{path:path}", _running, methods=["GET"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request or a WebSocket, if its caller may come in."""
        if scope["type"] in ("http", "websocket"):
            refused = self._refusal(scope)
            if refused is not None:
                self._host.sessions.counts["refused"] += 1
                if scope["type"] == "websocket":
                    websocket = WebSocket(scope, receive, send)
                    with contextlib.suppress(RuntimeError):  # a server that cannot say why
                        await websocket.send_denial_response(refused)
                else:
                    await refused(scope, receive, send)
                return
        await self._router(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        try:
            self.guests.check_key(key_of(headers))
        except HostRefused as error:
            refused = _refused(str(error), 401)
            refused.headers["WWW-Authenticate"] = 'Bearer realm="envring"'
            return refused
        if not (self._host.options.keys or is_near(headers)):
            # else every page that a user of this machine looks at could use the envs
            return _refused("Pages of other origins need a key.", 403)
        if self._peers[peer_of(scope)] >= self._host.options.max_connections:
            return _refused("There are too many connections of yours.", 503)
        return None

    async def converse(self, websocket: WebSocket, conversation: Conversation) -> None:
        """Serves a WebSocket until it ends."""
        peer = peer_of(websocket.scope)
        self._peers[peer] += 1
        calls = Calls()
        self._open[websocket] = conversation
        try:
            await websocket.accept()
            self._start_watch()
            await _converse(websocket, conversation, calls, peer)
        except Close as error:
            await _close(websocket, error.code, error.reason)
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # the caller went away, or the session has ended
        finally:
            del self._open[websocket]
            calls.finish(conversation.close)
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]
        await _close(websocket, 1000, "")

    def _start_watch(self) -> None:
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._look_after())

    async def _look_after(self) -> None:
        """Tells callers whose sessions the host has ended."""
        while self._open:
            for websocket, conversation in list(self._open.items()):
                if conversation.over is not None:
                    await _close(websocket, _GOING_AWAY, conversation.over)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _gymie(self, websocket: WebSocket) -> None:
        await self.converse(websocket, GymieConversation(self.guests, self._instances))

    async def once(self, call: Callable[[], Any]) -> Any:
        """Runs a call that may block, in a thread."""
        return await self._threads.run(call)

    def close(self) -> None:
        """Ends its threads."""
        self._threads.close()


async def _converse(
    websocket: WebSocket, conversation: Conversation, calls: Calls, peer: str
) -> None:
    problem = await calls.run(conversation.open, peer, key_of(websocket.headers))
    if problem is not None:
        await websocket.send_text(problem)
        return
    early: asyncio.Future[Message] | None = None  # a message that came before the answer
    while True:
        message, early = await (early or websocket.receive()), None
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        call = calls.run(conversation.answer, message.get("bytes") if text is None else text)
        await asyncio.wait((call,), timeout=_LONG_SECONDS)
        if not call.done():
            early = asyncio.ensure_future(websocket.receive())
            await asyncio.wait((call, early), return_when=asyncio.FIRST_COMPLETED)
            if not call.done() and early.result()["type"] == "websocket.disconnect":
                Calls().finish(conversation.abandon)
                return
        answer = await call
        if answer is None:
            return
        await websocket.send_text(answer)


def _refused(text: str, status: int) -> Response:
    """Says why, in the words of all wires."""
    return reply({"error": text, "detail": text, "message": text}, status)


async def _no_websocket(_: Request) -> PlainTextResponse:
    return PlainTextResponse("Expected a WebSocket.", 400)


async def _running(_: Request) -> PlainTextResponse:
    return PlainTextResponse("Gymie is running...", headers={"Content-Type": "text/plain"})


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    short = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # it was closed already
        await websocket.close(code, short)
