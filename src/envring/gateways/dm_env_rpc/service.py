# SPDX-License-Identifier: MIT
"""One stream of dm_env_rpc: requests in turn, an answer for each, and the caller's worlds.

An error is an answer, too: the stream goes on after it.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from envring.errors import HostLost, HostRefused, LaunchError, SpaceDataError, WireError
from envring.gateways.dm_env_rpc import protobuf, tensors
from envring.gateways.dm_env_rpc.callers import Caller
from envring.gateways.dm_env_rpc.numbers import (
    CREATE,
    DESTROY,
    ERROR,
    EXTENSION,
    JOIN,
    LEAVE,
    RESET,
    RESET_WORLD,
    SPACES,
    STEP,
)
from envring.gateways.dm_env_rpc.protobuf import bytes_field, number_field
from envring.gateways.dm_env_rpc.tensors import CODES, STRING, Tensor
from envring.gateways.dm_env_rpc.world import Unfit, World
from envring.gateways.guests import Guests

log = logging.getLogger("envring.serve")

WIRE = "dm_env_rpc"
_UNKNOWN, _INVALID, _NOT_FOUND, _DENIED, _EXHAUSTED = 2, 3, 5, 7, 8  # of google.rpc.Code
_PRECONDITION, _UNIMPLEMENTED, _INTERNAL, _UNAVAILABLE, _UNAUTHENTICATED = 9, 12, 13, 14, 16
_REASONS = {"key": _UNAUTHENTICATED, "full": _EXHAUSTED, "closing": _UNAVAILABLE}
_INT64 = CODES[tensors.DTYPES[5]]
_ENTRYPOINT = ":create_environment"  # of remote-gym, which numbers its envs
_numbers = itertools.count(1)


class _Refused(Exception):
    """An answer that is an error: its code and its text."""


class Stream:
    """The worlds of one caller.

    Args:
        guests: opens envs.
        peer: who calls.
        key: what the caller has shown beside the stream.
        is_ours: whether it is this project's own client.
    """

    def __init__(self, guests: Guests, peer: str, key: str | None, is_ours: bool = False) -> None:
        """Begins without any."""
        self._guests = guests
        self._peer = peer
        self._key = key
        self._is_ours = is_ours
        self._worlds: dict[str, World] = {}
        self._joined: World | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self._since = time.monotonic()  # when it began, or was seen with a world
        self._makes = False  # whether a world is being made
        self._answers: dict[int, Callable[[memoryview], bytes]] = {
            CREATE: self._create,
            JOIN: self._join,
            STEP: self._step,
            RESET: self._reset,
            RESET_WORLD: self._reset_world,
            LEAVE: self._leave,
            DESTROY: self._destroy,
        }

    def answer(self, request: bytes) -> bytes:
        """The EnvironmentResponse to an EnvironmentRequest."""
        try:
            kind, body = protobuf.choice(memoryview(request), EXTENSION)
            if kind not in self._answers:
                raise _Refused(_UNIMPLEMENTED, "this host has no such request, nor extensions")
            return bytes_field(kind, self._answers[kind](body))
        except _Refused as error:
            code, why = error.args
        except HostRefused as error:
            log.warning("%s was refused: %s", self._peer, str(error))
            code, why = _REASONS.get(error.reason, _DENIED), str(error)
        except HostLost as error:
            code, why = _UNAVAILABLE, f"The session has ended: {error.why}."
        except Unfit as error:
            code, why = _INTERNAL, str(error)
        except (WireError, SpaceDataError) as error:
            code, why = _INVALID, str(error)
        except LaunchError as error:
            code, why = _INVALID, str(error)
        except Exception as error:  # of the env
            code, why = _UNKNOWN, f"{type(error).__name__}: {error}"
        status = number_field(1, code), bytes_field(2, why.encode("utf-8", "replace"))
        return bytes_field(ERROR, *status)

    @property
    def idle(self) -> float:
        """Seconds for which it has had no world; 0 while it has one, or one is made."""
        with self._lock:
            lives = any(world.guest.over is None for world in self._worlds.values())
            if lives or self._makes:
                self._since = time.monotonic()
        return time.monotonic() - self._since

    def close(self) -> None:
        """Ends all worlds, a step under way included; for any thread."""
        with self._lock:
            self._is_closed = True
            worlds, self._worlds = list(self._worlds.values()), {}
        for world in worlds:
            self._guests.host.sessions.end(world.guest.entry)

    # -- worlds -----------------------------------------------------------------------------

    def _create(self, body: memoryview) -> bytes:
        settings = _settings(body, 1)
        caller = Caller.REMOTE_GYM if "args" in settings else Caller.PLAIN
        if self._is_ours:
            caller = Caller.OURS
        asked = _asked(settings)
        env, kwargs = asked["env"], asked["kwargs"]
        number = next(_numbers)
        if (env or self._default(asked["runtime"])).endswith(_ENTRYPOINT):
            kwargs.setdefault("env_id", number)
        self._makes = True
        try:
            world = self._made(asked, kwargs, caller)
        finally:
            self._makes = False
        name = f"world-{number}"
        with self._lock:
            gone = self._is_closed
            if not gone:
                self._worlds[name] = world
        if gone:
            world.guest.close()
        return bytes_field(1, name.encode())

    def _made(self, asked: dict[str, Any], kwargs: dict[str, Any], caller: Caller) -> World:
        key, runtime = asked["key"] or self._key, asked["runtime"]
        guest = self._guests.open(
            self._peer,
            key,
            asked["env"],
            kwargs,
            wire=WIRE,
            runtime=runtime,
            left=lambda: self._is_closed,
        )
        try:
            return World(guest, caller)
        except BaseException:
            guest.close()
            raise

    def _default(self, runtime: str | None) -> str:
        found = self._guests.host.runtimes.find(runtime, [None])
        return found.default or ""

    def _join(self, body: memoryview) -> bytes:
        if self._joined is not None:
            raise _Refused(_PRECONDITION, "a world is joined already: leave it first")
        world = self._named(body)
        _take_no(_settings(body, 2))
        world.reset()  # who joins begins a sequence
        self._joined = world
        return bytes_field(1, world.specs) + bytes_field(SPACES, world.spaces)

    def _leave(self, _: memoryview) -> bytes:
        self._joined = None
        return b""

    def _reset_world(self, body: memoryview) -> bytes:
        world = self._named(body)
        _take_no(_settings(body, 2))
        world.reset()
        return b""

    def _destroy(self, body: memoryview) -> bytes:
        world = self._named(body)
        if world is self._joined:
            raise _Refused(_PRECONDITION, "the world is joined: leave it first")
        with self._lock:
            self._worlds = {name: each for name, each in self._worlds.items() if each is not world}
        world.guest.close()
        return b""

    def _named(self, body: memoryview) -> World:
        name = ""
        for number, kind, value in protobuf.fields(body):
            if number == 1:
                name = protobuf.text(kind, value)
        world = self._worlds.get(name)
        if world is None:
            raise _Refused(_NOT_FOUND, f"this connection has made no world {name!r:.60}")
        return world

    # -- the world that is joined -------------------------------------------------------------

    def _reset(self, body: memoryview) -> bytes:
        world = self._world()
        settings = _settings(body, 1)
        seed, options = settings.pop("seed", None), settings.pop("options", None)
        _take_no(settings)
        world.reset(
            None if seed is None else seed.scalar(_INT64),
            None if options is None else _json_dict("options", options),
        )
        return bytes_field(1, world.specs)

    def _step(self, body: memoryview) -> bytes:
        world = self._world()
        actions: dict[int, Tensor] = {}
        requested: list[int] = []
        for number, kind, value in protobuf.fields(body):
            if number == 1:
                uid, tensor = protobuf.entry(protobuf.message(kind, value))
                actions[uid] = tensors.loads(tensor)
            elif number == 2 and kind == protobuf.VARINT:
                requested.append(value)
            elif number == 2:
                requested += protobuf.varints(protobuf.message(kind, value)).tolist()
        return world.step(actions, requested)

    def _world(self) -> World:
        if self._joined is None:
            raise _Refused(_PRECONDITION, "no world is joined")
        return self._joined


def _settings(body: memoryview, place: int) -> dict[str, Tensor]:
    settings: dict[str, Tensor] = {}
    for number, kind, value in protobuf.fields(body):
        if number == place:
            name, tensor = "", memoryview(b"")
            for part, of, each in protobuf.fields(protobuf.message(kind, value)):
                if part == 1:
                    name = protobuf.text(of, each)
                elif part == 2:
                    tensor = protobuf.message(of, each)
            settings[name] = tensors.loads(tensor)
    return settings


def _asked(settings: dict[str, Tensor]) -> dict[str, Any]:
    """What a caller asks for, by its own settings or by those of remote-gym."""
    asked: dict[str, Any] = dict.fromkeys(("env", "runtime", "key"))
    asked["kwargs"] = {}
    for name in ("env", "runtime", "key"):
        if name in settings:
            asked[name] = settings.pop(name).scalar(STRING)
    if "kwargs" in settings:
        asked["kwargs"] = _json_dict("kwargs", settings.pop("kwargs"))
    if "args" in settings:
        args = _json_dict("args", settings.pop("args"))
        kwargs = args.get("entrypoint_kwargs") or {}
        if not isinstance(kwargs, dict):
            raise WireError("entrypoint_kwargs is not a dict")
        if args.get("repo") is not None:
            raise _Refused(_DENIED, "this host clones no repositories that its callers name")
        asked["kwargs"] |= kwargs
        asked["env"] = asked["kwargs"].pop("env", asked["env"])
        if args.get("entrypoint") is not None:
            asked["env"] = f"{args['entrypoint']}{_ENTRYPOINT}"
        asked["key"] = args.get("key", asked["key"])
    _take_no(settings)
    if asked["env"] is not None and not isinstance(asked["env"], str):
        raise WireError("the env is named by a text")
    return asked


def _json_dict(name: str, tensor: Tensor) -> dict[str, Any]:
    try:
        found = json.loads(tensor.scalar(STRING))
    except (ValueError, RecursionError) as error:
        raise WireError(f"{name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise WireError(f"{name} is JSON, but not an object")
    return found


def _take_no(settings: dict[str, Tensor]) -> None:
    if settings:
        raise WireError(f"there is no setting {next(iter(settings))!r:.60} here")


def answers(stream: Stream, requests: Iterator[bytes]) -> Iterator[bytes]:
    """Answers requests in turn until the caller is gone, then ends its worlds."""
    try:
        for request in requests:
            yield stream.answer(request)
    finally:
        stream.close()
