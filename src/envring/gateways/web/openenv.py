# SPDX-License-Identifier: MIT
"""OpenEnv's wire: one WebSocket at `/ws` is one session with an env of its own.

An action is `{"value": ...}`, or an object with the keys of a Dict space. An observation is
`{"obs", "terminated", "truncated", "info"}`, because the wire itself only says `done`.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any

from gymnasium.spaces import Dict, Space

from envring._foreign.envring_worker.envs.spaces import describe_space
from envring.errors import HostLost, HostRefused
from envring.gateways.guests import PROCESS_ENDED, Guest, Guests
from envring.gateways.web import json_text, spaces
from envring.gateways.web.schemas import EXACT, Schema, objects, schema
from envring.transport import codec

WIRE = "openenv"
_MESSAGES = {"reset": False, "step": True, "state": None, "close": None}  # whether data is needed
_KEYS, _LONE_KEYS = {"type", "data"}, {"type"}
_LONGEST_ID = 255


class Invalid(Exception):
    """A message that breaks the wire's rules, as its servers describe it.

    Attributes:
        errors: what is wrong, and where.
    """

    def __init__(self, kind: str, path: tuple[str | int, ...], text: str) -> None:
        """One error."""
        super().__init__(text)
        self.errors = [{"type": kind, "loc": list(path), "msg": text}]


class Conversation:
    """What one caller says, and what it gets as an answer. Its calls may block.

    Args:
        guests: of the host.
        env: which env it is about; None for the first that the host serves.
        call_seconds: the most seconds of a call, None where the caller's end is noticed.
    """

    wire = WIRE

    def __init__(self, guests: Guests, env: str | None, call_seconds: float | None = None) -> None:
        """Begins without an env."""
        self._guests = guests
        self._env = env
        self._call_seconds = call_seconds
        self._guest: Guest | None = None
        self._episode: str | None = None
        self._steps = 0
        self._is_left = False

    def open(self, peer: str, key: object) -> str | None:
        """Builds the env; an error to send before the connection is closed, or None."""
        try:
            self.begin(peer, key)
        except HostRefused as error:
            if error.reason not in ("full", "closing"):
                return failed("SESSION_ERROR", str(error))
            sessions = self._guests.host.sessions
            limits = [sessions.options.max_sessions, sessions.slots]
            most = min(limit for limit in limits if limit is not None)
            counts = {"active_sessions": len(sessions), "max_sessions": most}
            return failed("CAPACITY_REACHED", str(error), **counts)
        except Exception as error:
            return failed("FACTORY_ERROR", _text(error), factory_name=self._env or "default")
        return None

    def begin(self, peer: str, key: object) -> None:
        """Builds the env.

        Raises:
            HostRefused: the caller may not have it.
            NotCarried: JSON cannot carry its spaces.
            Exception: it could not be built.
        """
        self._guest = guest = self._guests.open(
            peer,
            key,
            self._env,
            wire=WIRE,
            call_seconds=self._call_seconds,
            left=lambda: self._is_left,
        )
        spaces.check(guest.env.observation_space)
        spaces.check(guest.env.action_space)

    def answer(self, text: str | bytes) -> str | None:
        """The answer to a message; None closes the connection."""
        try:
            message = json_text.loads(text)
        except ValueError as error:
            return failed("INVALID_JSON", f"Invalid JSON: {str(error)[:200]}")
        try:
            return self._answer(message)
        except Invalid as error:
            return failed("VALIDATION_ERROR", "Invalid message", errors=error.errors)
        except Exception as error:
            return failed("EXECUTION_ERROR", _text(error))

    @property
    def over(self) -> str | None:
        """Why the session has ended, None while it goes on."""
        return None if self._guest is None else self._guest.over

    def _answer(self, message: Any) -> str | None:
        if not isinstance(message, dict):
            raise Invalid("dict_type", (), "a message is an object")
        kind = message.get("type", "")
        if not isinstance(kind, str) or kind not in _MESSAGES:
            return failed("UNKNOWN_TYPE", f"Unknown message type: {kind!s:.100}")
        needs = _MESSAGES[kind]
        known = _LONE_KEYS if needs is None else _KEYS
        if not message.keys() <= known:
            key = next(iter(message.keys() - known))
            raise Invalid("extra_forbidden", (key,), "Extra inputs are not permitted")
        data = message.get("data", None if needs else {})
        if not isinstance(data, dict):
            raise Invalid("dict_type", ("data",), "Input should be a valid dictionary")
        if kind == "close":
            return None
        if kind == "state":
            return json_text.dumps({"type": "state", "data": self.state()})
        result = self.reset(data) if kind == "reset" else self.step(data)
        return json_text.dumps({"type": "observation", "data": result})

    def state(self) -> dict[str, Any]:
        """The episode's name, and its number of steps."""
        return {"episode_id": self._episode, "step_count": self._steps}

    def reset(self, data: dict[str, Any]) -> dict[str, Any]:
        """Begins an episode. What is neither seed nor name of the episode goes into the options.

        Raises:
            Invalid: the seed or the name is malformed.
        """
        episode = data.get("episode_id")
        options = data.get("options")
        try:
            seed = spaces.seed_of(data.get("seed"))
        except spaces.BadValue as error:
            raise Invalid("int_type", ("data", "seed"), str(error)) from None
        if episode is not None and not (isinstance(episode, str) and len(episode) <= _LONGEST_ID):
            raise Invalid("string_type", ("data", "episode_id"), "at most 255 characters of text")
        if options is not None and not isinstance(options, dict):
            raise Invalid("dict_type", ("data", "options"), "options are an object")
        others = {key: data[key] for key in data.keys() - {"seed", "episode_id", "options"}}
        guest = self._held()
        obs, info = guest.reset(seed, {**(options or {}), **others} or None)
        self._episode, self._steps = episode or str(uuid.uuid4()), 0
        return self._result(guest, obs, None, False, False, info)

    def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """Steps the env.

        Raises:
            Invalid: the action is malformed.
        """
        guest = self._held()
        action = _action(guest.env.action_space, data)
        obs, reward, terminated, truncated, info = guest.step(action)
        self._steps += 1
        return self._result(guest, obs, float(reward), terminated, truncated, info)

    def _held(self) -> Guest:
        assert self._guest is not None
        return self._guest

    def _result(
        self,
        guest: Guest,
        obs: Any,
        reward: float | None,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> dict[str, Any]:
        observation = {
            "obs": spaces.encode(guest.env.observation_space, obs),
            "terminated": bool(terminated),
            "truncated": bool(truncated),
            "info": json_text.plain(info),
        }
        done = bool(terminated or truncated)
        return {"observation": observation, "reward": reward, "done": done}

    def schemas(self) -> dict[str, Any]:
        """Schemas of the env's actions and observations, and of the state; both spaces exactly."""
        env = self._held().env
        both = env.observation_space, env.action_space
        exact = codec.dumps(tuple(describe_space(space) for space in both))
        schemas = _schemas(env.action_space, env.observation_space)
        return {**schemas, EXACT: base64.b64encode(exact).decode()}

    def close(self) -> None:
        """Ends the session."""
        if self._guest is not None:
            self._guest.close()

    def abandon(self) -> None:
        """Ends the session while a call is under way."""
        self._is_left = True
        if self._guest is not None:
            self._guests.host.sessions.end(self._guest.entry)


def _action(space: Space[Any], data: dict[str, Any]) -> Any:
    fields = dict(data)
    if not (isinstance(space, Dict) and "metadata" in space.spaces):
        fields.pop("metadata", None)  # every action of the wire may have it
    try:
        if isinstance(space, Dict):
            return spaces.decode(space, fields)
        for key in fields.keys() - {"value"}:
            raise Invalid("extra_forbidden", ("data", key), "Extra inputs are not permitted")
        if "value" not in fields:
            raise Invalid("missing", ("data", "value"), "Field required")
        return spaces.decode(space, fields["value"], ("value",))
    except spaces.BadValue as error:
        raise Invalid("value_error", ("data", *error.path), str(error)) from None


def failed(code: str, text: str, **details: Any) -> str:
    """An error as the wire says it."""
    return json_text.dumps({"type": "error", "data": {"message": text, "code": code, **details}})


def _text(error: Exception) -> str:
    if isinstance(error, HostLost):
        return f"The session was ended: {error.why}."
    if isinstance(error, PROCESS_ENDED):
        return str(error).partition(" Close this vector env")[0]
    return f"{type(error).__name__}: {error}"[:2000]


def _schemas(action_space: Space[Any], observation_space: Space[Any]) -> dict[str, Schema]:
    metadata: Schema = {"type": "object", "additionalProperties": True}
    if isinstance(action_space, Dict):
        action = schema(action_space)
    else:
        action = objects({"value": schema(action_space)})
    action["properties"].setdefault("metadata", metadata)
    observation = objects(
        {
            "done": {"type": "boolean"},
            "reward": {"type": ["number", "null"]},
            "obs": schema(observation_space),
            "terminated": {"type": "boolean"},
            "truncated": {"type": "boolean"},
            "info": metadata,
        }
    )
    state: Schema = {
        "type": "object",
        "properties": {
            "episode_id": {"type": ["string", "null"]},
            "step_count": {"type": "integer", "minimum": 0},
        },
        "additionalProperties": True,
    }
    named = {"action": action, "observation": observation, "state": state}
    return {name: {"title": name.capitalize(), **each} for name, each in named.items()}
