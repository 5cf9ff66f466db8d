# SPDX-License-Identifier: MIT
"""gym-http-api's wire: requests below `/v1/envs/`.

Its clients have no connection that could end. An instance lives until it is closed or the host's
`idle_timeout` is over; one that nobody has used for an hour makes room when another one is made.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from envring.errors import HostLost, HostRefused
from envring.gateways.guests import Guest
from envring.gateways.web import instances, json_text, spaces
from envring.gateways.web.callers import key_of, peer_of
from envring.gateways.web.gymie import with_time_limit
from envring.gateways.web.http_lines import Plain
from envring.gateways.web.instances import Held, Instances
from envring.gateways.web.requests import parsed, read

if TYPE_CHECKING:
    from envring.gateways.web.application import Application

log = logging.getLogger("envring.serve")

WIRE = "gym-http-api"
_FAR = 1e100  # how this wire writes infinite bounds
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_NOT_DONE = {
    "upload": "OpenAI's gym takes no results any more",
    "shutdown": "who calls cannot end this host",
}


class InvalidUsage(Exception):
    """What the caller did wrong."""


class Instance(Held):
    """An env that was asked for.

    Attributes:
        env_id: which env it is.
        seed: of the first reset.
    """

    def __init__(self, guest: Guest, env_id: str, seed: int | None) -> None:
        """Remembers the session."""
        super().__init__(guest)
        self.env_id = env_id
        self.seed = seed


Endpoint = Callable[[Request, dict[str, Any]], Any]


class GymHttp:
    """The wire's endpoints."""

    def __init__(self, application: Application) -> None:
        """Begins without an instance."""
        self._application = application
        self._instances: Instances[Instance] = Instances(application.guests.host.sessions)

    def routes(self) -> list[BaseRoute]:
        """The routes. A slash at the end may be left out."""
        found: list[BaseRoute] = []
        for method, path, endpoint in (
            ("POST", "", self._create),
            ("GET", "", self._list),
            ("POST", "/{instance}/reset", self._reset),
            ("POST", "/{instance}/step", self._step),
            ("GET", "/{instance}/action_space", self._action_space),
            ("GET", "/{instance}/observation_space", self._observation_space),
            ("GET", "/{instance}/action_space/sample", self._sample),
            ("GET", "/{instance}/action_space/contains/{value}", self._contains),
            ("POST", "/{instance}/close", self._close),
            ("POST", "/{instance}/monitor/start", self._start_monitor),
            ("POST", "/{instance}/monitor/close", self._close_monitor),
        ):
            for slash in ("", "/"):
                found.append(
                    Route(f"/v1/envs{path}{slash}", self._answering(endpoint), methods=[method])
                )
        for name, why in _NOT_DONE.items():
            for slash in ("", "/"):
                refuse = partial(_failed, 400, why)
                found.append(Route(f"/v1/{name}{slash}", _answer(refuse), methods=["POST"]))
        unknown = partial(_failed, 404, "There is no such request.")
        found.append(Route("/v1/{path:path}", _answer(unknown), methods=_METHODS))
        return found

    def _answering(self, endpoint: Endpoint) -> Any:
        async def answer(request: Request) -> Response:
            body = await read(request, "message") if request.method == "POST" else {}
            if isinstance(body, Response):
                return body
            done: Response = await self._application.once(lambda: _done(endpoint, request, body))
            return done

        return answer

    def answer(self, request: Plain) -> Response | None:
        """Answers a step or a reset in a thread; None if it is another request."""
        scope = request.scope
        parts = scope["path"].removesuffix("/").split("/")
        if scope["method"] != "POST" or len(parts) != 5 or parts[1:3] != ["v1", "envs"]:
            return None
        endpoint = {"step": self._step, "reset": self._reset}.get(parts[4])
        if endpoint is None:
            return None
        body = parsed(bytes(request.body), "message")
        if isinstance(body, Response):
            return body
        return _done(endpoint, Request({**scope, "path_params": {"instance": parts[3]}}), body)

    def _owner(self, request: Request) -> bytes:
        return self._application.guests.host.options.digest(key_of(request.headers))

    def _find(self, request: Request) -> Instance:
        name = request.path_params["instance"]
        found = self._instances.find(self._owner(request), name)
        if found is None:
            why = self._instances.why_ended(self._owner(request), name)
            if why is not None:
                raise HostLost((), "", why)
            raise InvalidUsage(f"Instance_id {name[:100]} unknown")
        return found

    def _create(self, request: Request, body: dict[str, Any]) -> Any:
        env_id, seed = body.get("env_id"), spaces.seed_of(body.get("seed"))
        if not isinstance(env_id, str):
            raise InvalidUsage("A required request parameter 'env_id' was not provided")
        self._instances.forget()
        guest = self._application.guests.open(
            peer_of(request.scope),
            key_of(request.headers),
            env_id,
            wire=WIRE,
            call_seconds=instances.CALL_SECONDS,
        )
        try:
            spaces.check(guest.env.observation_space)
            spaces.check(guest.env.action_space)
        except spaces.NotCarried:
            guest.close()
            raise
        name = secrets.token_hex(8)
        self._instances.add(guest.entry.owner, name, Instance(guest, env_id, seed))
        return {"instance_id": name}

    def _list(self, request: Request, _: dict[str, Any]) -> Any:
        self._instances.forget()
        mine = self._instances.names(self._owner(request))
        return {"all_envs": {name: each.env_id for name, each in mine.items()}}

    def _reset(self, request: Request, _: dict[str, Any]) -> Any:
        instance = self._find(request)
        obs, _info = instance.guest.reset(instance.seed)
        instance.seed = None
        return {"observation": spaces.encode(instance.guest.env.observation_space, obs)}

    def _step(self, request: Request, body: dict[str, Any]) -> Any:
        guest = self._find(request).guest
        if "action" not in body:
            raise InvalidUsage("A required request parameter 'action' was not provided")
        if body.get("render"):
            guest.render()
        action = spaces.decode(guest.env.action_space, body["action"])
        obs, reward, terminated, truncated, info = guest.step(action)
        return {
            "observation": spaces.encode(guest.env.observation_space, obs),
            "reward": float(reward),
            "done": bool(terminated or truncated),
            "info": json_text.plain(with_time_limit(info, terminated, truncated)),
        }

    def _action_space(self, request: Request, _: dict[str, Any]) -> Any:
        return {"info": _described(self._find(request).guest.env.action_space)}

    def _observation_space(self, request: Request, _: dict[str, Any]) -> Any:
        return {"info": _described(self._find(request).guest.env.observation_space)}

    def _sample(self, request: Request, _: dict[str, Any]) -> Any:
        space = self._find(request).guest.env.action_space
        return {"action": spaces.encode(space, space.sample())}

    def _contains(self, request: Request, _: dict[str, Any]) -> Any:
        space = self._find(request).guest.env.action_space
        try:
            value = spaces.decode(space, json_text.loads(request.path_params["value"]))
        except ValueError:
            return {"member": False}
        return {"member": bool(space.contains(value))}

    def _start_monitor(self, request: Request, body: dict[str, Any]) -> None:
        """Records nothing, but programs that begin with it go on."""
        instance = self._find(request)
        if not body.get("directory"):
            raise InvalidUsage("A required request parameter 'directory' was not provided")
        log.warning(
            "%s asked for a monitor of %s: there is none", peer_of(request.scope), instance.env_id
        )

    def _close_monitor(self, request: Request, _: dict[str, Any]) -> None:
        self._find(request)

    def _close(self, request: Request, _: dict[str, Any]) -> None:
        self._find(request)
        self._instances.end(self._owner(request), request.path_params["instance"])


def _answer(made: Callable[[], Response]) -> Any:
    async def answer(_: Request) -> Response:
        return made()

    return answer


def _done(endpoint: Endpoint, request: Request, body: dict[str, Any]) -> Response:
    try:
        found = endpoint(request, body)
        if found is None:
            return Response(status_code=204)
        text = json_text.dumps(found, json_text.HUGE)
        return Response(text, media_type="application/json")
    except (InvalidUsage, spaces.BadValue, spaces.NotCarried, json_text.NotJson) as error:
        return _failed(400, str(error))
    except HostRefused as error:
        return _failed(503 if error.reason in ("full", "closing") else 400, str(error))
    except HostLost as error:
        return _failed(400, f"The instance was ended: {error.why}.")
    except Exception as error:
        return _failed(400, f"{type(error).__name__}: {error}"[:2000])


def _failed(status: int, text: str) -> Response:
    body = json_text.dumps({"message": text})
    return Response(body, status, media_type="application/json")


def _described(space: Space[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": type(space).__name__}
    match space:
        case Discrete():
            found["n"] = int(space.n)
            if space.start:
                found["start"] = int(space.start)
        case Box():
            found["shape"] = list(space.shape)
            found["low"], found["high"] = _flat(space.low), _flat(space.high)
        case MultiBinary():
            found["n"] = np.asarray(space.n).tolist()
        case MultiDiscrete():
            found["nvec"] = space.nvec.tolist()
            if space.start.any():
                found["start"] = space.start.tolist()
        case Tuple():
            found["spaces"] = [_described(child) for child in space.spaces]
        case Dict():
            found["spaces"] = {key: _described(child) for key, child in space.items()}
    return found


def _flat(bounds: Any) -> list[float]:
    """Bounds without axes, as this wire has them."""
    return [
        each if math.isfinite(each) else math.copysign(_FAR, each)
        for each in bounds.astype(np.float64).ravel().tolist()
    ]
