# SPDX-License-Identifier: MIT
"""Gymie's wire: a WebSocket at `/gym`, JSON with the standard library's blanks, no ids of requests.

There are no messages for errors: the server closes the connection with a code and a reason, word
for word as Gymie 0.5.4 does. Every connection may use every instance, as there; but instances end
with the connection that made them.
"""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space

from envring.errors import HostLost, HostRefused, SourceError
from envring.gateways.guests import PROCESS_ENDED, Guest, Guests
from envring.gateways.web import json_text, spaces
from envring.gateways.web.closing import Close

log = logging.getLogger("envring.serve")

WIRE = "gymie"
_ID = re.compile(r"(?:[\w:-]+/)?[\w:.-]+-v\d+")  # what Gym 0.17 takes for the id of an env
_BAD_MESSAGE, _BAD_REQUEST = 1003, 1007

F = TypeVar("F", bound=Callable[..., Any])


class InstanceNotFound(Exception):
    """There is no instance of that name."""


class EnvironmentMalformed(Exception):
    """It is not the id of an env."""


class EnvironmentNotFound(Exception):
    """There is no env of that id, or it is not served."""


class WrongAction(Exception):
    """The env could not be stepped with that action."""


_ERRORS = {
    InstanceNotFound: "Instance `{}` not found",
    EnvironmentMalformed: "Environment `{}` is malformed",
    EnvironmentNotFound: "Environment `{}` not found",
    WrongAction: "Action `{}` is wrong",
}

overrides: dict[str, Callable[..., Any]] = {}
"""What `override` was given, by name."""


def override(name: str) -> Callable[[F], F]:
    """Replaces a part of the server by a function of yours.

    Args:
        name: "get_env", called as `f(env_id, seed=None, **params)` in the worker process, returns
            the env that `make` asked for: the list of envs that the host serves does not apply.
            "process_step", called in the server with `(observation, reward, done, info)`, returns
            four values that JSON can say.

    Raises:
        AssertionError: there is no such part.
    """
    if name not in ("get_env", "process_step"):
        raise AssertionError("Functions that can be replaced: get_env, process_step.")

    def replace(function: F) -> F:
        overrides[name] = function
        return function

    return replace


@dataclass
class Instance:
    """An env that a caller has made.

    Attributes:
        guest: its session.
        seed: of the first reset.
    """

    guest: Guest
    seed: int | None


class Instances:
    """The instances of all connections of one application, by name."""

    def __init__(self) -> None:
        """Begins without any."""
        self._lock = threading.Lock()
        self._by_id: dict[str, Instance] = {}

    def add(self, instance: Instance) -> str:
        """Keeps an instance; its name."""
        name = uuid.uuid4().hex
        with self._lock:
            self._by_id[name] = instance
        return name

    def find(self, name: Any, owner: bytes) -> Instance:
        """The instance of that name.

        Raises:
            InstanceNotFound: there is none for callers with this key.
        """
        with self._lock:
            found = self._by_id.get(name) if isinstance(name, str) else None
        if found is None or found.guest.entry.owner != owner:
            raise InstanceNotFound(name)
        return found

    def remove(self, name: str) -> Instance | None:
        """Forgets an instance."""
        with self._lock:
            return self._by_id.pop(name, None)


class Conversation:
    """What one caller says, and what it gets as an answer. Its calls may block.

    Args:
        guests: of the host.
        instances: of all callers.
    """

    def __init__(self, guests: Guests, instances: Instances) -> None:
        """Begins without an instance."""
        self._guests = guests
        self._instances = instances
        self._made: list[str] = []
        self._peer, self._key, self._owner = "", None, b""
        self._is_left = False

    def open(self, peer: str, key: Any) -> None:
        """Remembers who it is."""
        self._peer, self._key = peer, key
        self._owner = self._guests.host.options.digest(key)

    @property
    def over(self) -> str | None:
        """Why it has ended, None while it goes on."""
        return "the host was ended" if self._guests.host.sessions.over else None

    def answer(self, text: str | bytes) -> str:
        """The answer to a message.

        Raises:
            Close: the message is wrong, or what it asks for failed.
        """
        try:
            message = json_text.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
            raise Close(_BAD_MESSAGE, f"Message `{shown[:200]}` is invalid")
        if not {"method", "params"} <= message.keys():
            raise Close(_BAD_MESSAGE, f"Message keys {list(message)} are missing or invalid"[:200])
        name, params = message["method"], message["params"]
        method = _METHODS.get(name) if isinstance(name, str) else None
        if method is None:
            raise Close(_BAD_REQUEST, f"Method `{str(name)[:200]}` not found")
        try:
            return method(self, **params)
        except TypeError:
            raise Close(_BAD_REQUEST, f"Parameters `{str(params)[:200]}` are wrong") from None
        except tuple(_ERRORS) as error:
            raise Close(_BAD_REQUEST, _ERRORS[type(error)].format(error)[:200]) from None
        except Exception as error:
            # the misspelled word is Gymie's
            raise Close(_BAD_REQUEST, f"Unknonwn error: {_text(error)[:200]}") from None

    def _make(self, env_id: Any, **params: Any) -> str:
        try:
            seed = spaces.seed_of(params.get("seed"))
        except spaces.BadValue as error:
            raise TypeError(str(error)) from None
        if seed is not None:
            params["seed"] = seed
        get_env = overrides.get("get_env")
        try:
            if get_env is not None:
                env_fn = partial(get_env, env_id, **params)
                guest = self._open(None, env_fn=env_fn)
            else:
                kwargs = {key: value for key, value in params.items() if key != "seed"}
                guest = self._open(env_id, kwargs)
        except HostRefused as error:
            if error.reason == "env":
                raise _missing(env_id) from None
            raise
        except SourceError:
            raise _missing(env_id) from None
        try:
            spaces.check(guest.env.observation_space)
            spaces.check(guest.env.action_space)
        except spaces.NotCarried:
            guest.close()
            raise
        name = self._instances.add(Instance(guest, None if get_env is not None else seed))
        self._made.append(name)
        return name

    def _open(self, *env: Any, **given: Any) -> Guest:
        return self._guests.open(
            self._peer, self._key, *env, wire=WIRE, left=lambda: self._is_left, **given
        )

    def _find(self, instance_id: Any) -> Instance:
        return self._instances.find(instance_id, self._owner)

    def _step(self, instance_id: Any, action: Any, render: Any = False) -> str:
        guest = self._find(instance_id).guest
        if render:
            guest.render()
        try:
            value = spaces.decode(guest.env.action_space, action)
            obs, reward, terminated, truncated, info = guest.step(value)
        except PROCESS_ENDED:
            raise
        except Exception as error:
            log.info("%s: action %.100s is wrong: %s", self._peer, action, str(error)[:200])
            raise WrongAction(str(action)[:200]) from None
        info = with_time_limit(info, terminated, truncated)
        done = bool(terminated or truncated)
        process_step = overrides.get("process_step")
        if process_step is not None:
            return _spell(json_text.plain(list(process_step((obs, reward, done, info)))))
        seen = _spell(spaces.encode(guest.env.observation_space, obs))
        others = _spell(json_text.plain(info)) if info else "{}"
        return f"[{seen}, {_spell(float(reward))}, {'true' if done else 'false'}, {others}]"

    def _reset(self, instance_id: Any) -> str:
        instance = self._find(instance_id)
        obs, _ = instance.guest.reset(instance.seed)
        instance.seed = None
        return _spell(spaces.encode(instance.guest.env.observation_space, obs))

    def _close(self, instance_id: Any) -> str:
        self._find(instance_id)
        self._end(instance_id)
        return "true"

    def _observation_space(self, instance_id: Any) -> str:
        return _spell(_described(self._find(instance_id).guest.env.observation_space))

    def _action_space(self, instance_id: Any) -> str:
        return _spell(_described(self._find(instance_id).guest.env.action_space))

    def _action_sample(self, instance_id: Any) -> str:
        space = self._find(instance_id).guest.env.action_space
        return _spell(spaces.encode(space, space.sample()))

    def _end(self, name: str) -> None:
        instance = self._instances.remove(name)
        if instance is not None:
            instance.guest.close()

    def close(self) -> None:
        """Ends the instances that this connection has made."""
        for name in self._made:
            self._end(name)

    def abandon(self) -> None:
        """Ends them while a call is under way."""
        self._is_left = True
        for name in self._made:
            instance = self._instances.remove(name)
            if instance is not None:
                self._guests.host.sessions.end(instance.guest.entry)


_METHODS: dict[str, Callable[..., str]] = {
    "make": Conversation._make,
    "step": Conversation._step,
    "reset": Conversation._reset,
    "close": Conversation._close,
    "observation_space": Conversation._observation_space,
    "action_space": Conversation._action_space,
    "action_sample": Conversation._action_sample,
}


def with_time_limit(info: dict[str, Any], terminated: Any, truncated: Any) -> dict[str, Any]:
    """An info that says what `done` cannot, in the words of Gym 0.17."""
    return {**info, "TimeLimit.truncated": not terminated} if truncated else info


def _missing(env_id: Any) -> Exception:
    kind = EnvironmentNotFound if _ID.fullmatch(str(env_id)) else EnvironmentMalformed
    return kind(str(env_id)[:200])


def _spell(value: Any) -> str:
    return json_text.spell(value, json_text.HUGE)


def _described(space: Space[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": type(space).__name__}
    match space:
        case Discrete():
            found["n"] = int(space.n)
            if space.start:
                found["start"] = int(space.start)
        case Box():
            found["shape"] = list(space.shape)
            found["low"] = space.low.astype(np.float64).tolist()
            found["high"] = space.high.astype(np.float64).tolist()
        case MultiBinary():
            found["n"] = np.asarray(space.n).tolist()
            found["shape"] = list(space.shape)
        case MultiDiscrete():
            found["nvec"] = space.nvec.tolist()
            if space.start.any():
                found["start"] = space.start.tolist()
    return found


def _text(error: Exception) -> str:
    if isinstance(error, HostLost):
        return f"the session was ended: {error.why}"
    return str(error).partition("\n")[0]
