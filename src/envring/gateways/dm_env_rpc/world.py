# SPDX-License-Identifier: MIT
"""A world of dm_env_rpc: one env, its specs, and where its sequence of steps stands."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from envring._foreign.envring_worker.envs.spaces import describe_space
from envring.errors import LaunchError, SpaceDataError, WireError
from envring.gateways.dm_env_rpc import protobuf, tensors
from envring.gateways.dm_env_rpc.callers import Caller
from envring.gateways.dm_env_rpc.numbers import INTERRUPTED, RUNNING, TERMINATED
from envring.gateways.dm_env_rpc.protobuf import BYTES, bytes_field, number_field
from envring.gateways.dm_env_rpc.spaces import Leaf, Tree
from envring.gateways.dm_env_rpc.tensors import BOOL, CODES, STRING, Spec, Tensor
from envring.gateways.guests import Guest
from envring.transport import codec

_OBSERVATION, _REWARD, _RENDERING, _INFO, _TRUNCATED, _MORE = 1, 2, 3, 4, 5, 16  # uids
_ACTION = 1
_NO_INFO = tensors.dumps(STRING, ["{}"])
_FLAGS = [tensors.dumps(BOOL, np.array(flag)) for flag in (False, True)]
_KEYS = (str, int, float, type(None))  # of dicts, as `json` takes them
_DOUBLE, _UINT8 = CODES[np.dtype("<f8")], CODES[np.dtype("uint8")]


class Unfit(Exception):
    """What an env gave does not fit its spaces, or its first picture."""


class World:
    """An env that a caller of dm_env_rpc made.

    Attributes:
        guest: the env.
        specs: its ActionObservationSpecs message.
        spaces: what specs cannot say: both spaces exactly, observations first.
    """

    def __init__(self, guest: Guest, caller: Caller = Caller.PLAIN) -> None:
        """Makes the specs. An env that renders is reset for that: its first frame has the shape.

        Raises:
            SpaceDataError: the wire cannot carry one of the spaces.
            WireError: what the env renders is not a picture.
        """
        self.guest = guest
        env = guest.env
        self._actions = Tree("action", env.action_space, caller)
        self._observations = Tree("observation", env.observation_space, caller)
        self._action_uids = _uids(self._actions.leaves, _ACTION)
        self._observation_uids = _uids(self._observations.leaves, _OBSERVATION)
        infinite = np.array(np.inf)
        self._specs = {uid: leaf.spec for uid, leaf in self._observation_uids.items()}
        self._specs[_REWARD] = Spec("reward", _DOUBLE, (), -infinite, infinite)
        self._specs[_INFO] = Spec("info", STRING)
        self._specs[_TRUNCATED] = Spec("truncated", BOOL)
        both = (env.observation_space, env.action_space)
        self.spaces = codec.dumps(tuple(describe_space(space) for space in both))
        self._first: tuple[Any, Any] | None = None  # of a reset that was made for its frame
        self._is_over = True  # the next step begins a sequence
        self._reset: dict[str, Any] = {}  # arguments of the next reset
        self._renders = env.render_mode == "rgb_array"
        if self._renders:
            self._first = guest.reset()
            frame = _picture(guest.render())
            low, high = np.zeros(frame.shape, np.uint8), np.full(frame.shape, 255, np.uint8)
            self._specs[_RENDERING] = Spec("rendering", _UINT8, frame.shape, low, high)
        self.specs = b"".join(
            bytes_field(number, number_field(1, uid), bytes_field(2, spec.dumps()))
            for number, specs in (
                (1, {uid: leaf.spec for uid, leaf in self._action_uids.items()}),
                (2, self._specs),
            )
            for uid, spec in sorted(specs.items())
        )

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Has the next step begin a sequence."""
        self._is_over = True
        self._reset = {"seed": seed, "options": options}
        if seed is not None or options is not None:
            self._first = None

    def step(self, actions: Mapping[int, Tensor], requested: Iterable[int]) -> bytes:
        """Steps the env, or resets it where a sequence begins; a StepResponse message.

        Args:
            actions: by uid; of those that are missing, the default is taken. A sequence's first
                are ignored.
            requested: uids of observations.

        Raises:
            WireError: actions or uids do not fit; the env was not asked, and the sequence goes on.
            Unfit: what the env gave does not fit; the next step begins a sequence.
            Exception: whatever the env raised; the next step begins a sequence.
        """
        wanted = set(requested)
        if not wanted <= self._specs.keys():
            unknown = sorted(wanted - self._specs.keys())
            raise WireError(
                f"there is no observation {unknown[0]}; there are {sorted(self._specs)}"
            )
        action = None if self._is_over else self._action(actions)
        begins, self._is_over = self._is_over, True  # if it raises
        reward, terminated, truncated = 0.0, False, False
        try:
            if begins:
                observation, info = self._begin()
            else:
                observation, reward, terminated, truncated, info = self.guest.step(action)
            answer = self._told(wanted, observation, reward, (terminated, truncated), info)
        except (WireError, SpaceDataError, LaunchError) as error:  # not of the request
            raise Unfit(f"{type(error).__name__}: {error}") from None
        self._is_over = terminated or truncated
        return answer

    def _told(
        self,
        wanted: Container[int],
        observation: Any,
        reward: float,
        ends: tuple[bool, bool],
        info: Any,
    ) -> bytes:
        terminated, truncated = ends
        state = TERMINATED if terminated else INTERRUPTED if truncated else RUNNING
        found: dict[int, bytes] = {}
        if any(uid in wanted for uid in self._observation_uids):
            values = self._observations.split(observation)
            pairs = zip(self._observation_uids.items(), values, strict=True)
            found = {uid: leaf.dumps(value) for (uid, leaf), value in pairs if uid in wanted}
        if _REWARD in wanted:
            found[_REWARD] = tensors.dumps(_DOUBLE, reward)
        if _INFO in wanted:
            found[_INFO] = tensors.dumps(STRING, [_as_json(info)]) if info else _NO_INFO
        if _TRUNCATED in wanted:
            found[_TRUNCATED] = _FLAGS[truncated]
        if _RENDERING in wanted:
            found[_RENDERING] = self._rendering()
        return number_field(1, state) + b"".join(
            _entry_head(uid, len(tensor)) + tensor for uid, tensor in found.items()
        )

    def _begin(self) -> tuple[Any, Any]:
        first, self._first = self._first, None
        result = first if first is not None else self.guest.reset(**self._reset)
        self._reset = {}
        return result

    def _action(self, actions: Mapping[int, Tensor]) -> Any:
        if not actions.keys() <= self._action_uids.keys():
            unknown = sorted(actions.keys() - self._action_uids.keys())
            raise WireError(
                f"there is no action {unknown[0]}; there are {sorted(self._action_uids)}"
            )
        return self._actions.join(
            [
                leaf.loads(actions[uid]) if uid in actions else leaf.default
                for uid, leaf in self._action_uids.items()
            ]
        )

    def _rendering(self) -> bytes:
        frame, spec = _picture(self.guest.render()), self._specs[_RENDERING]
        if frame.shape != spec.shape:
            raise WireError(
                f"the env now renders pictures of the shape {list(frame.shape)}, before they had "
                f"{list(spec.shape)}"
            )
        return tensors.dumps(_UINT8, frame, frame.shape)


@lru_cache(256)
def _entry_head(uid: int, length: int) -> bytes:
    """What stands before a tensor of so many bytes among the observations of a StepResponse."""
    inner = number_field(1, uid) + protobuf.varint(2 << 3 | BYTES) + protobuf.varint(length)
    return protobuf.varint(2 << 3 | BYTES) + protobuf.varint(len(inner) + length) + inner


def _uids(leaves: list[Leaf], alone: int) -> dict[int, Leaf]:
    return {alone: leaves[0]} if len(leaves) == 1 else dict(enumerate(leaves, _MORE))


def _picture(frame: Any) -> Any:
    array = np.asarray(frame)
    if array.dtype != np.uint8 or not array.ndim:
        raise WireError("the env renders something that is not an array of uint8")
    return array


def _as_json(info: Any) -> str:
    try:
        return json.dumps(info, default=_plain)
    except TypeError:  # a key that JSON has not
        return json.dumps(_with_text_keys(info), default=_plain)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key if isinstance(key, _KEYS) else str(key): _with_text_keys(each)
            for key, each in value.items()
        }
    if isinstance(value, np.ndarray | np.generic):
        return _with_text_keys(value.tolist())
    if isinstance(value, list | tuple):
        return [_with_text_keys(each) for each in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return repr(value)
