# SPDX-License-Identifier: MIT
"""Where OpenEnv's requests are, beside `/ws`; below `/openenv/ENV` those of another env."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from envring._version import __version__
from envring.errors import HostRefused
from envring.gateways.web import instances
from envring.gateways.web.callers import key_of, peer_of
from envring.gateways.web.openenv import Conversation, Invalid
from envring.gateways.web.requests import read, reply

if TYPE_CHECKING:
    from envring.gateways.web.application import Application

_STATUS = {"full": 503, "closing": 503, "key": 401, "env": 404, "runtime": 404}


def routes(wire: OpenEnv) -> list[BaseRoute]:
    """The routes."""
    found: list[BaseRoute] = []
    for prefix in ("", "/openenv/{env:path}"):
        for name, method in (
            ("health", "GET"),
            ("metadata", "GET"),
            ("schema", "GET"),
            ("state", "GET"),
            ("reset", "POST"),
            ("step", "POST"),
        ):
            endpoint = getattr(wire, name)
            found.append(Route(f"{prefix}/{name}", endpoint, methods=[method]))
    return found


class OpenEnv:
    """The wire's endpoints. Requests have no session: each that needs an env builds one."""

    def __init__(self, application: Application) -> None:
        """Keeps schemas once they are known."""
        self._application = application
        self._schemas: dict[str | None, dict[str, Any]] = {}

    def _conversation(self, connection: Any) -> Conversation:
        env = connection.path_params.get("env")
        return Conversation(self._application.guests, env, instances.CALL_SECONDS)

    async def health(self, _: Request) -> Response:
        """Whether the host takes sessions."""
        ending = self._application.guests.host.sessions.closing
        return reply({"status": "unhealthy" if ending else "healthy"}, 503 if ending else 200)

    async def metadata(self, request: Request) -> Response:
        """What the env is called."""
        env = request.path_params.get("env")
        runtime = next(iter(self._application.guests.host.runtimes))
        name = env or runtime.default or runtime.name
        return reply(
            {
                "name": name,
                "description": f"{name}, a Gymnasium env served by envring",
                "readme_content": None,
                "version": __version__,
                "author": None,
                "documentation_url": None,
            }
        )

    async def state(self, _: Request) -> Response:
        """The state of an env that nobody has reset."""
        return reply({"episode_id": None, "step_count": 0})

    async def schema(self, request: Request) -> Response:
        """Schemas made from the env's spaces."""
        env = request.path_params.get("env")
        if env not in self._schemas:
            found = await self._once(request, lambda conversation: conversation.schemas())
            if isinstance(found, Response):
                return found
            self._schemas[env] = found
        return reply(self._schemas[env])

    async def reset(self, request: Request) -> Response:
        """A reset of a new env."""
        body = await read(request)
        if isinstance(body, Response):
            return body
        found = await self._once(request, lambda conversation: conversation.reset(body))
        return found if isinstance(found, Response) else reply(found)

    async def step(self, request: Request) -> Response:
        """A step of a new env, after a reset."""
        body = await read(request)
        if isinstance(body, Response):
            return body
        action = body.get("action")
        if not isinstance(action, dict):
            return _invalid(Invalid("missing", ("action",), "Field required"), "body")

        def step(conversation: Conversation) -> Any:
            conversation.reset({})
            return conversation.step(action)

        found = await self._once(request, step)
        return found if isinstance(found, Response) else reply(found)

    async def _once(self, request: Request, use: Callable[[Conversation], Any]) -> Any:
        conversation = self._conversation(request)

        def call() -> Any:
            try:
                conversation.begin(peer_of(request.scope), key_of(request.headers))
                return use(conversation)
            finally:
                conversation.close()

        try:
            return await self._application.once(call)
        except Invalid as error:
            return _invalid(error, "body")
        except HostRefused as error:
            return reply({"detail": str(error)}, _STATUS.get(error.reason, 400))
        except Exception as error:
            return reply({"detail": f"{type(error).__name__}: {error}"[:2000]}, 500)


def _invalid(error: Invalid, where: str) -> Response:
    errors = [{**each, "loc": [where, *each["loc"]]} for each in error.errors]
    return reply({"detail": errors}, 422)
