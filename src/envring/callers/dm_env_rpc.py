# SPDX-License-Identifier: MIT
"""An env that asks a server of dm_env_rpc v1: remote-gym's, other projects', or a host of ours."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping
from typing import Any, NoReturn

import gymnasium
import numpy as np

from envring.callers.grpc_stream import GrpcStream
from envring.callers.specs import Part, Side, exactly, guessed, read_spaces, read_specs
from envring.errors import (
    HostRefused,
    LaunchError,
    RemoteEnvError,
    SpaceDataError,
    WireError,
)
from envring.gateways.dm_env_rpc import protobuf, tensors
from envring.gateways.dm_env_rpc.numbers import (
    CREATE,
    ERROR,
    INTERRUPTED,
    JOIN,
    RESET,
    RUNNING,
    SPACES,
    STEP,
    TERMINATED,
)
from envring.gateways.dm_env_rpc.protobuf import bytes_field
from envring.gateways.dm_env_rpc.tensors import BOOL, CODES, DTYPES, STRING, Spec
from envring.transport.addresses import Address

_INT64 = CODES[DTYPES[5]]
_ENTRYPOINT = ":create_environment"
# codes of google.rpc.Status that refuse a caller, and the reasons that they stand for
_REFUSALS = {7: "env", 8: "full", 14: "closing", 16: "key"}
_INVALID, _UNAVAILABLE = 3, 14
_BEYOND = 1 << 63  # what an INT64 holds
_NEEDED = object()


class DmEnvRpcClient(gymnasium.Env[Any, Any]):
    """One world of a server, on a stream of its own.

    Args:
        address: of the server.
        env: which env, for servers that have several; "" says nothing.
        kwargs: its keyword arguments, as JSON has them.

    Attributes:
        is_ours: whether the server is a host of this project, which says and takes more.
    """

    def __init__(self, address: Address, env: str, kwargs: Mapping[str, Any]) -> None:
        """Makes a world and joins it.

        Raises:
            LaunchError: the server cannot be reached, refuses, or does not answer.
            SpaceDataError: its tensors are of kinds that no space has.
            WireError: it does not speak dm_env_rpc.
        """
        self._address = address
        self._stream = GrpcStream(address)
        self._is_over = self._was_over = True  # the next step begins a sequence
        self._has_warned = False
        try:
            world = self._create(env, kwargs)
            self._take_specs(self._ask(JOIN, bytes_field(1, world)))
            self._stream.began = True
        except BaseException:
            self._stream.close()
            raise

    def _create(self, env: str, kwargs: Mapping[str, Any]) -> bytes:
        args: dict[str, Any] = {}  # remote-gym's, which hosts of ours read as well
        path, is_entrypoint, _ = env.partition(_ENTRYPOINT)
        if is_entrypoint:
            args["entrypoint"] = path
        named = {} if is_entrypoint or not env else {"env": env}
        if named or kwargs:
            args["entrypoint_kwargs"] = named | dict(kwargs)
        settings = {}
        if args:
            settings["args"] = tensors.dumps(STRING, [json.dumps(args)])
        if "runtime" in self._address.options:
            settings["runtime"] = tensors.dumps(STRING, [self._address.options["runtime"]])
        for number, kind, value in protobuf.fields(self._ask(CREATE, _settings(settings))):
            if number == 1:
                return bytes(protobuf.message(kind, value))
        return b""

    def _take_specs(self, answer: memoryview) -> None:
        specs, exact = memoryview(b""), None
        for number, kind, value in protobuf.fields(answer):
            if number == 1:
                specs = protobuf.message(kind, value)
            elif number == SPACES:
                exact = protobuf.message(kind, value)
        actions, observations = read_specs(specs)
        self._reward = _taken(observations, "reward")
        self._rendering = _taken(observations, "rendering", shape=None)
        self._discount = _taken(observations, "discount")
        self._info = _taken(observations, "info", STRING)
        self._truncated = _taken(observations, "truncated", BOOL)
        self.is_ours = exact is not None
        if exact is not None:
            observation_space, action_space = read_spaces(exact)
            self._seen = exactly("observation", observation_space, observations)
            self._acts: Side = exactly("action", action_space, actions)
        else:
            self._seen, self._acts = guessed(observations), guessed(actions)
        self.observation_space, self.action_space = self._seen.space, self._acts.space
        extra = (self._reward, self._rendering, self._discount, self._info, self._truncated)
        self._parts = {part.uid: part for part in (*self._seen.parts, *filter(None, extra))}
        self._requested = bytes_field(2, protobuf.pack_varints(np.array(list(self._parts))))
        self.render_mode = None if self._rendering is None else "rgb_array"
        self.metadata = {"render_modes": [self.render_mode] if self.render_mode else []}
        self._frame: Any = None

    # -- what a user calls ------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode.

        A server of another project is sent the seed, too, but does not say whether it takes it: a
        warning says so once.

        Raises:
            RemoteEnvError: the server takes no seed or no options, or its env raised.
            SpaceDataError: the wire cannot say the seed or the options.
        """
        settings = {}
        if seed is not None:
            if not -_BEYOND <= seed < _BEYOND:
                raise SpaceDataError(
                    f"The seed {seed} cannot be sent: dm_env_rpc has integers of 64 bits."
                )
            settings["seed"] = tensors.dumps(_INT64, np.array(seed, np.int64))
        if options:
            settings["options"] = tensors.dumps(STRING, [_as_json(options)])
        if settings and not self.is_ours and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"{self._address} was sent {' and '.join(settings)}, but dm_env_rpc has no answer "
                "that says whether it takes them: remote-gym's server does not.",
                stacklevel=2,
            )
        if settings or not self._is_over:
            self._is_over = True
            self._ask(RESET, _settings(settings))
        observation, _, _, _, info = self._advance(b"")
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Steps the env.

        Raises:
            RemoteEnvError: the env raised: reset it; or a host of ours refused the action, which
                changes nothing.
            HostLost: the server is gone, or did not answer in time.
            WireError: what it answered does not fit.
        """
        if self._is_over:
            raise RemoteEnvError("The episode is over, or has not begun: call reset first.")
        pairs = zip(self._acts.parts, self._acts.split(action), strict=True)
        return self._advance(b"".join(part.dumps(value) for part, value in pairs))

    def render(self) -> Any:
        """The frame that came with the last step, if the server renders."""
        return self._frame

    def close(self) -> None:
        """Ends the stream, with which servers end the world; a second call does nothing."""
        self._stream.close()

    # -- requests and answers ---------------------------------------------------------------

    def _advance(self, actions: bytes) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Sends a step, which resets where a sequence begins, and reads what comes."""
        body = actions + self._requested
        self._was_over, self._is_over = self._is_over, True  # if it raises
        answer = self._ask(STEP, body)
        try:
            state, found = _read_step(answer)
            terminated = state == TERMINATED
            truncated = state == INTERRUPTED or bool(self._value(found, self._truncated, False))
            if self._rendering is not None:
                self._frame = self._value(found, self._rendering, None)
            results = (
                self._seen.join([self._value(found, part) for part in self._seen.parts]),
                float(self._value(found, self._reward, 0.0)),
                terminated,
                truncated,
                self._info_of(found),
            )
        except WireError as error:
            raise self._strange(str(error)) from None
        self._is_over = terminated or truncated
        return results

    def _value(
        self, found: Mapping[int, memoryview], part: Part | None, default: Any = _NEEDED
    ) -> Any:
        if part is not None and part.uid in found:
            return part.loads(found[part.uid])
        if default is _NEEDED:
            raise WireError(f"a step lacks the observation {part and part.spec.name!r:.60}")
        return default

    def _info_of(self, found: Mapping[int, memoryview]) -> dict[str, Any]:
        info: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            info = json.loads(self._value(found, self._info, "{}"))
        if not isinstance(info, dict):
            raise WireError("an info is not a JSON object")
        if self._discount is not None:
            info["discount"] = float(self._value(found, self._discount, 1.0))
        return info

    def _ask(self, kind: int, body: bytes) -> memoryview:
        answer = self._stream.ask(bytes_field(kind, body))
        number, message = protobuf.choice(memoryview(answer), ERROR)
        if number == ERROR:
            self._raise(kind, message)
        if number != kind:
            raise self._strange(f"request {kind} has the answer {number}")
        return message

    def _raise(self, kind: int, status: memoryview) -> NoReturn:
        code, text = 0, ""
        for number, of, value in protobuf.fields(status):
            if number == 1 and of == protobuf.VARINT:
                code = value
            elif number == 2:
                text = protobuf.text(of, value)[:2000]
        if kind in (CREATE, JOIN):
            if code in _REFUSALS:
                raise HostRefused(f"{self._address} refuses us: {text}", _REFUSALS[code])
            raise LaunchError(f"{self._address} cannot serve us: {text}")
        if code == _UNAVAILABLE:
            raise self._stream.lose(text)
        if kind == STEP and code == _INVALID and self.is_ours:
            # the action was refused before the env was asked: the episode goes on
            self._is_over = self._was_over
        raise RemoteEnvError(f"{self._address} answered with an error: {text}")

    def _strange(self, what: str) -> WireError:
        self._stream.close()
        return WireError(f"{self._address} does not speak dm_env_rpc as we know it: {what}.")


def _read_step(answer: memoryview) -> tuple[int, dict[int, memoryview]]:
    """The state, and tensors by uid, of a StepResponse message."""
    found: dict[int, memoryview] = {}
    state = 0
    for number, kind, value in protobuf.fields(answer):
        if number == 1 and kind == protobuf.VARINT:
            state = value
        elif number == 2:
            uid, tensor = protobuf.entry(protobuf.message(kind, value))
            found[uid] = tensor
    if state not in (RUNNING, TERMINATED, INTERRUPTED):
        raise WireError(f"a step has the state {state}")
    return state, found


def _taken(
    specs: dict[int, Spec], name: str, code: int | None = None, shape: tuple[int, ...] | None = ()
) -> Part | None:
    """Takes a tensor that is not part of the observation out of the specs, if it is there."""
    for uid, spec in specs.items():
        fits = spec.code != STRING if code is None else spec.code == code
        if spec.name == name and fits and (shape is None or spec.shape == shape):
            del specs[uid]
            whole = Spec(name, spec.code, spec.shape)
            space: Any = gymnasium.spaces.Space()
            if spec.code != STRING:
                space = gymnasium.spaces.Space(spec.shape, DTYPES[spec.code])
            return Part(uid, whole, space)
    return None


def _settings(values: Mapping[str, bytes]) -> bytes:
    return b"".join(
        bytes_field(1, bytes_field(1, name.encode()), bytes_field(2, tensor))
        for name, tensor in values.items()
    )


def _as_json(options: Mapping[str, Any]) -> str:
    try:
        return json.dumps(options, default=_plain)
    except (TypeError, ValueError) as error:
        raise SpaceDataError(f"options cannot be sent, which JSON has to say: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")
