# SPDX-License-Identifier: MIT
"""The wire of Remote Gymnasium, which AgentGPT's clients speak: `/make`, `/reset`, `/step`, ...

An env has a key that its caller chose; without one it is the only such env of the caller's key
and address. Requests have no connection that could end: an env lives until it is closed, made
again, or unused for `idle_timeout`; one that nobody has used for an hour makes room for others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from envring.api.vector import RingVectorEnv
from envring.errors import HostLost, HostRefused, SourceError, WorkerDied, WorkerTimeout
from envring.gateways.guests import Guest
from envring.gateways.web import instances, spaces
from envring.gateways.web.callers import key_of, peer_of
from envring.gateways.web.dialects import JSON, MSGPACK, Dialect, dialect_of
from envring.gateways.web.http_lines import Plain
from envring.gateways.web.instances import Held, Instances
from envring.gateways.web.requests import parsed, read, reply
from envring.gateways.web.values import View, view_of

if TYPE_CHECKING:
    from envring.gateways.web.application import Application

WIRE = "remote-gymnasium"
_STATUS = {"key": 401, "env": 404, "runtime": 404, "full": 503, "closing": 503}
_NOT_MADE = "Environment not initialized. Please call /make first."
_ERROR = ("error", "detail")  # what texts of errors are called: by JSON's callers, by msgpack's
_LONGEST_KEY = 1000
_DEEPEST = 90  # levels; messages to workers have at most 100
_AUTORESET = ("NextStep", "SameStep", "Disabled")


class Invalid(Exception):
    """What the caller did wrong."""


class Instance(Held):
    """An env that a caller has made.

    Attributes:
        view: how callers see it.
        peer: the address of who made it.
        dialect: how that caller wrote.
    """

    def __init__(self, guest: Guest, view: View, peer: str, dialect: Dialect) -> None:
        """Remembers the session."""
        super().__init__(guest)
        self.view = view
        self.peer = peer
        self.dialect = dialect


@dataclass
class Asked:
    """A request.

    Attributes:
        peer: the caller's address.
        key: what it has shown.
        owner: the digest of that.
        body: what it has sent.
        query: what stands in its address: lists by name.
        dialect: how it is written; None if it does not say.
    """

    peer: str
    key: str | None
    owner: bytes
    body: dict[str, Any]
    query: dict[str, list[str]]
    dialect: Dialect | None

    @property
    def env_key(self) -> str | None:
        """The env's key, None for the caller's env without one."""
        key = self.query.get("env_key", [None])[0] or self.body.get("env_key")
        if key is not None and not (isinstance(key, str) and len(key) <= _LONGEST_KEY):
            raise Invalid("env_key is text of at most 1000 characters.")
        return key or None

    @property
    def name(self) -> str:
        """Names the env among its owner's."""
        return f"peer {self.peer}" if self.env_key is None else f"key {self.env_key}"


Endpoint = Callable[[Asked], tuple[Dialect | None, Any]]


class RemoteGymnasium:
    """The wire's endpoints."""

    def __init__(self, application: Application) -> None:
        """Begins without an env."""
        self._application = application
        self._host = application.guests.host
        self._instances: Instances[Instance] = Instances(self._host.sessions)
        self._endpoints: dict[tuple[str, str], Endpoint] = {
            ("POST", "/step"): self._step,
            ("POST", "/reset"): self._reset,
            ("POST", "/make"): self._make,
            ("POST", "/make_vec"): self._make_vec,
            ("POST", "/close"): self._close,
            ("GET", "/action_space"): self._action_space,
            ("GET", "/observation_space"): self._observation_space,
        }

    def routes(self, shared: Mapping[str, Callable[[Request], Any]]) -> list[BaseRoute]:
        """The routes.

        Args:
            shared: by path, what answers requests that are another wire's.
        """
        return [
            Route(path, self._answering(endpoint, shared.get(path)), methods=[method])
            for (method, path), endpoint in self._endpoints.items()
        ]

    def _answering(self, endpoint: Endpoint, other: Any) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            dialect = dialect_of(request.method, request.headers)
            body: dict[str, Any] | Response = {}
            if request.method == "POST":
                body = await read(request, *_ERROR, loads=(dialect or JSON).loads)
            if isinstance(body, Response):
                return body
            asked = self._asked(request.scope, request.headers, body, dialect)
            if other is not None and not self._is_mine(asked):
                answered: Response = await other(request)
                return answered
            done: Response = await self._application.once(lambda: _done(endpoint, asked))
            return done

        return answer

    def answer(self, request: Plain) -> Response | None:
        """Answers a request in a thread; None if it is another wire's."""
        scope = request.scope
        endpoint = self._endpoints.get((scope["method"], scope["path"]))
        if endpoint is None:
            return None
        headers = Headers(scope=scope)
        dialect = dialect_of(scope["method"], headers)
        body = parsed(bytes(request.body), *_ERROR, loads=(dialect or JSON).loads)
        if isinstance(body, Response):
            return body
        asked = self._asked(scope, headers, body, dialect)
        return _done(endpoint, asked) if self._is_mine(asked) else None

    def _asked(
        self,
        scope: MutableMapping[str, Any],
        headers: Headers,
        body: dict[str, Any],
        dialect: Dialect | None,
    ) -> Asked:
        key = key_of(headers)
        owner = self._host.options.digest(key)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return Asked(peer_of(scope), key, owner, body, query, dialect)

    def _is_mine(self, asked: Asked) -> bool:
        """Whether a request is this wire's, not OpenEnv's: it names an env, or there is one."""
        if "env_key" in asked.body or "env_key" in asked.query or asked.dialect is MSGPACK:
            return True
        return self._instances.find(asked.owner, asked.name) is not None

    def _find(self, asked: Asked) -> Instance:
        found = self._instances.find(asked.owner, asked.name)
        if found is None:
            raise self._missing(asked)
        return found

    def _missing(self, asked: Asked) -> Exception:
        why = self._instances.why_ended(asked.owner, asked.name)
        return Invalid(_NOT_MADE) if why is None else HostLost((), "", why)

    # -- making and closing -----------------------------------------------------------------

    def _make(self, asked: Asked) -> tuple[Dialect | None, Any]:
        env_id = self._open(asked, None)
        text = f"Environment {env_id} created."
        return None, {"env_key": asked.env_key, "message": text}

    def _make_vec(self, asked: Asked) -> tuple[Dialect | None, Any]:
        num_envs = asked.body.get("num_envs")
        if type(num_envs) is not int:
            raise Invalid("num_envs is missing, or not an integer.")
        env_id = self._open(asked, num_envs)
        text = f"Environment {env_id} created with {num_envs} instance(s)."
        return None, {"env_key": asked.env_key, "message": text}

    def _open(self, asked: Asked, num_envs: int | None) -> str:
        body = asked.body
        env_id = body.get("env_id") or body.get("env_name")
        if not isinstance(env_id, str):
            raise Invalid("env_id is missing, or not text.")
        if body.get("env_dir"):
            raise Invalid("env_dir is not taken: the host knows where its envs are.")
        env = body.get("env_entry_point") or env_id
        kwargs = body.get("kwargs") or {}
        if not _is_plain(kwargs):
            raise Invalid("kwargs hold what JSON cannot say, or have too many levels.")
        autoreset = body.get("autoreset_mode", "SameStep")
        if not isinstance(env, str) or not isinstance(kwargs, dict) or autoreset not in _AUTORESET:
            raise Invalid("env_entry_point, kwargs or autoreset_mode is malformed.")
        self._instances.forget()
        name = asked.name
        self._instances.end(asked.owner, name)
        guest = self._application.guests.open(
            asked.peer,
            asked.key,
            env,
            kwargs,
            wire=WIRE,
            num_envs=num_envs,
            autoreset_mode=autoreset,
            call_seconds=instances.CALL_SECONDS,
        )
        try:
            view = view_of(guest.env)
        except spaces.NotCarried:
            guest.close()
            raise
        made = Instance(guest, view, asked.peer, asked.dialect or JSON)
        self._instances.add(asked.owner, name, made)
        return env_id

    def _close(self, asked: Asked) -> tuple[Dialect | None, Any]:
        key = asked.env_key
        if key is not None:
            if not self._instances.end(asked.owner, asked.name):
                raise self._missing(asked)
            which = key if asked.dialect is MSGPACK else f"with key {key}"
            return None, {"message": f"Environment {which} closed successfully."}
        for name, each in self._instances.names(asked.owner).items():
            if each.peer == asked.peer:
                self._instances.end(asked.owner, name)
        return None, {"message": "All environments closed successfully."}

    # -- using it ---------------------------------------------------------------------------

    def _action_space(self, asked: Asked) -> tuple[Dialect | None, Any]:
        found = self._find(asked)
        return found.dialect, found.view.action_space()

    def _observation_space(self, asked: Asked) -> tuple[Dialect | None, Any]:
        found = self._find(asked)
        return found.dialect, found.view.observation_space()

    def _reset(self, asked: Asked) -> tuple[Dialect | None, Any]:
        found = self._find(asked)
        seed, options = asked.body.get("seed"), asked.body.get("options")
        if isinstance(seed, list) and isinstance(found.guest.env, RingVectorEnv):
            if len(seed) != found.guest.env.num_envs:
                raise Invalid("there is one seed, or one for each env.")
            seed = list(map(spaces.seed_of, seed))
        else:
            seed = spaces.seed_of(seed)
        if options is not None and not (isinstance(options, dict) and _is_plain(options)):
            raise Invalid("options are an object, of not too many levels.")
        return None, found.view.first(*found.guest.reset(seed, options))

    def _step(self, asked: Asked) -> tuple[Dialect | None, Any]:
        found = self._find(asked)
        if "action" not in asked.body:
            raise Invalid("action is missing.")
        action = found.view.action(asked.body["action"])
        return None, found.view.after(*found.guest.step(action))


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether it can be sent on, and JSON could have said it: msgpack has bytes and other keys."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, dict):
        items = value.items()
        return all(isinstance(key, str) and _is_plain(each, depth + 1) for key, each in items)
    if isinstance(value, list):
        return all(_is_plain(each, depth + 1) for each in value)
    return value is None or isinstance(value, bool | int | float | str)


def _done(endpoint: Endpoint, asked: Asked) -> Response:
    try:
        spoken, found = endpoint(asked)
        return (asked.dialect or spoken or JSON).reply(found)
    except Exception as error:
        return _failed(*_said(error))


def _said(error: Exception) -> tuple[int, str]:
    """The status and the text of an error."""
    match error:
        case Invalid() | spaces.NotCarried():
            return 400, str(error)
        case spaces.BadValue():
            where = "".join(f"[{step!r}]" for step in error.path)
            return 400, f"action{where}: {error}"
        case HostRefused():
            return _STATUS.get(error.reason, 400), str(error)
        case HostLost():
            return 400, f"{_NOT_MADE} It was closed: {error.why}."
        case SourceError():
            return 404, str(error)
        case WorkerDied() | WorkerTimeout():
            return 500, str(error).partition(" Close this vector env")[0]
    return 500, f"{type(error).__name__}: {error}"[:2000]


def _failed(status: int, text: str) -> Response:
    return reply(dict.fromkeys(_ERROR, text), status)
