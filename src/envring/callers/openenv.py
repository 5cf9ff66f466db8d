# SPDX-License-Identifier: MIT
"""An env that asks a server of OpenEnv over a WebSocket: other projects' servers, or ours."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

import gymnasium
from gymnasium.spaces import Dict, Space
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.sync.client import connect

from envring.batch.space_data import UnknownSpace, build_space
from envring.callers.json_spaces import decode, dict_of, encode
from envring.callers.waiting import CONNECT_SECONDS, answer_seconds, lost
from envring.errors import (
    CodecError,
    HostRefused,
    LaunchError,
    RemoteEnvError,
    SourceError,
    SpaceDataError,
    WireError,
)
from envring.gateways.web import json_text
from envring.gateways.web.schemas import EXACT
from envring.transport import codec
from envring.transport.addresses import Address
from envring.transport.tls import client_context, not_trusted

_OWN = {"done", "reward", "metadata"}  # of every observation; the first two stand beside it
_REFUSALS = {"CAPACITY_REACHED": "full", "SESSION_ERROR": ""}


class OpenEnvClient(gymnasium.Env[Any, Any]):
    """One session of a server.

    Args:
        address: of the server.
        env: which env, for a host of ours; "" for its first. Other servers have one only.
        kwargs: must be empty: the wire has no place for them.

    Attributes:
        is_ours: whether the server is a host of this project, which says and takes more.
    """

    render_mode = None
    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, address: Address, env: str, kwargs: Mapping[str, Any]) -> None:
        """Connects, and reads the schemas.

        Raises:
            LaunchError: the server cannot be reached, refuses, or does not answer.
            SourceError: there are keyword arguments.
            WireError: it does not speak OpenEnv.
        """
        if kwargs:
            raise SourceError(
                f"OpenEnv's wire carries no arguments of an env, such as {next(iter(kwargs))!r}: "
                "give them to the server."
            )
        self._address = address
        self._seconds = answer_seconds(address)
        self._headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        self._tls = client_context(address) if address.scheme == "openenvs" else None
        self._name = address.options.get("name", address.host)  # of the certificate
        self._is_over, self._is_closed = True, False
        self._ended = contextlib.ExitStack()
        path = self._take_schemas(env)
        self._socket = self._connected(path)
        try:
            self._answered = False
            self._ask("state", "state")
            self._answered = True
        except BaseException:
            self.close()
            raise

    # -- what the server has ----------------------------------------------------------------

    def _take_schemas(self, env: str) -> str:
        """Finds the spaces; returns the path of the env."""
        path = f"/openenv/{quote(env, safe='')}" if env else ""
        status, schemas = self._get(f"{path}/schema")
        if path and status == 404 and EXACT not in schemas:
            path = ""  # a server with only one env
            status, schemas = self._get("/schema")
            if EXACT in schemas:
                raise HostRefused(f"{self._address} does not serve {env!r}.", "env")
        if status in (401, 403, 503):
            text = str(schemas.get("detail", schemas))[:500]
            raise HostRefused(
                f"{self._address} refuses us: {text}", "full" if status == 503 else "key"
            )
        exact, action, observation = (
            schemas.get(name) for name in (EXACT, "action", "observation")
        )
        if status != 200 or not isinstance(action, dict) or not isinstance(observation, dict):
            raise LaunchError(
                f"{self._address} does not answer as a server of OpenEnv: {status} for /schema. "
                f"{str(schemas)[:300]}"
            )
        self.is_ours = exact is not None
        if exact is not None:
            self.observation_space, self.action_space = _exact(exact)
        else:
            properties = _names(observation, "properties")
            seen = [name for name in properties if name not in _OWN]
            self.observation_space = dict_of(observation, seen)
            needed = _names(action, "required")
            actions = dict_of(action, needed)
            unknown = any(isinstance(each, UnknownSpace) for each in actions.values())
            self.action_space = UnknownSpace("object") if unknown or not needed else actions
        return path

    def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        address = self._address
        seconds = min(CONNECT_SECONDS, self._seconds)
        line = http.client.HTTPConnection(address.host, address.port, timeout=seconds)
        try:
            line.connect()
            if self._tls is not None:
                line.sock = self._tls.wrap_socket(line.sock, server_hostname=self._name)
            line.sock.settimeout(self._seconds)  # the server may build an env for it
            line.request("GET", path, headers=self._headers)
            answer = line.getresponse()
            data = answer.read(json_text.LONGEST)
        except ssl.SSLError as error:
            raise not_trusted(address, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise LaunchError(
                f"{address} cannot be reached, or does not answer ({str(error) or 'silence'}). "
                "Does a server of OpenEnv run there?"
            ) from None
        finally:
            line.close()
        try:
            found = json_text.loads(data)
        except ValueError:
            found = {"detail": data[:500].decode("utf-8", "replace")}
        return answer.status, found if isinstance(found, dict) else {}

    def _connected(self, path: str) -> Any:
        scheme = "ws" if self._tls is None else "wss"
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        try:
            made = connect(
                f"{scheme}://{host}:{self._address.port}{path}/ws",
                ssl=self._tls,
                server_hostname=None if self._tls is None else self._name,
                additional_headers=self._headers,
                proxy=None,
                compression=None,
                open_timeout=min(CONNECT_SECONDS, self._seconds),
                close_timeout=1.0,
                max_size=json_text.LONGEST,
            )
            return self._ended.enter_context(made)
        except (OSError, InvalidHandshake, WebSocketException, ValueError) as error:
            raise LaunchError(
                f"{self._address} was reached, but has no WebSocket at {path}/ws: {error}."
            ) from None

    # -- what a user calls ------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode. A server of another project gets the options beside the seed."""
        data: dict[str, Any] = {} if seed is None else {"seed": int(seed)}
        if options:
            plain = json_text.plain(options)
            data |= {"options": plain} if self.is_ours else plain
        self._is_over = True
        observation, _, _, _, info = self._take(self._ask("reset", "observation", data))
        self._is_over = False
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Steps the env. A server that only says `done` ends episodes as terminated.

        Raises:
            RemoteEnvError: the env raised, or refuses the action.
            HostLost: the server is gone, or did not answer in time.
            WireError: what it answered does not fit.
        """
        if self._is_over:
            raise RemoteEnvError("The episode is over, or has not begun: call reset first.")
        data = encode(self.action_space, action)
        if self.is_ours and not isinstance(self.action_space, Dict):
            data = {"value": data}
        found = self._take(self._ask("step", "observation", data))
        self._is_over = found[2] or found[3]
        return found

    def render(self) -> None:
        """None: the wire has no pictures."""

    def close(self) -> None:
        """Ends the session; a second call does nothing."""
        self._is_closed = True
        with contextlib.suppress(Exception):
            self._socket.send(json_text.dumps({"type": "close"}))
        with contextlib.suppress(Exception):
            self._ended.close()

    # -- requests and answers ---------------------------------------------------------------

    def _take(self, data: dict[str, Any]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, done, reward = data.get("observation"), data.get("done"), data.get("reward")
        if not isinstance(seen, dict) or type(done) not in (bool, type(None)):
            raise self._strange("an observation is malformed")
        if reward is not None and type(reward) not in (int, float, bool):
            raise self._strange("a reward is not a number")
        terminated, truncated = bool(done), False
        value: Any = seen
        info: Any = {}
        if self.is_ours:
            value = seen.get("obs")
            terminated, truncated = bool(seen.get("terminated")), bool(seen.get("truncated"))
            info = seen.get("info")
            if not isinstance(info, dict):
                raise self._strange("an info is not an object")
        try:
            observation = decode(self.observation_space, value)
        except WireError as error:
            raise self._strange(f"an observation does not fit: {error}") from None
        return observation, float(reward or 0.0), terminated, truncated, info

    def _ask(self, kind: str, expected: str, data: Any = None) -> dict[str, Any]:
        if self._is_closed:
            raise lost(self._address, "the session has ended")
        message = {"type": kind} if data is None else {"type": kind, "data": data}
        try:
            with contextlib.suppress(ConnectionClosed):  # perhaps it was said before why
                self._socket.send(json_text.dumps(message))
            text = self._socket.recv(timeout=self._seconds)
        except TimeoutError:
            self._lose(f"no answer came for {self._seconds:g} s")
        except (OSError, WebSocketException) as error:
            self._lose(str(error) or "it was closed")
        try:
            answer = json_text.loads(text)
        except ValueError as error:
            raise self._strange(f"it is not JSON: {str(error)[:100]}") from None
        found = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(found, dict) or answer.get("type") not in (expected, "error"):
            raise self._strange(f"{kind} has another answer")
        if answer["type"] == "error":
            self._raise(found)
        return found

    def _lose(self, why: str) -> NoReturn:
        self.close()
        if self._answered:
            raise lost(self._address, why)
        raise LaunchError(f"{self._address} was reached, but cannot serve us: {why}.") from None

    def _raise(self, error: dict[str, Any]) -> NoReturn:
        code, text = str(error.get("code"))[:100], str(error.get("message"))[:2000]
        if not self._answered:
            self.close()
            if code in _REFUSALS:
                raise HostRefused(f"{self._address} refuses us: {text}", _REFUSALS[code])
            raise LaunchError(f"{self._address} cannot serve us: {code}: {text}")
        details = f" {str(error['errors'])[:500]}" if "errors" in error else ""
        raise RemoteEnvError(f"{self._address} answered with {code}: {text}{details}")

    def _strange(self, what: str) -> WireError:
        self.close()
        return WireError(f"{self._address} does not speak OpenEnv as we know it: {what}.")


def _exact(text: Any) -> tuple[Space[Any], Space[Any]]:
    try:
        match codec.matchable(codec.loads(base64.b64decode(str(text), validate=True))):
            case (observations, actions):
                return build_space(observations), build_space(actions)
    except (ValueError, CodecError) as error:
        raise SpaceDataError(f"the server's spaces are malformed: {error}") from None
    raise SpaceDataError("the server's spaces are not two")


def _names(schema: dict[str, Any], where: str) -> list[str]:
    """Names of properties that a schema has."""
    properties = schema.get("properties")
    listed = schema.get(where, [])
    if not isinstance(properties, dict) or not isinstance(listed, dict | list):
        return []
    return [name for name in listed if isinstance(name, str) and name in properties]
