# SPDX-License-Identifier: MIT
"""A caller of dm_env_rpc that knows specs alone, as others' do; values are as JSON has them."""

from __future__ import annotations

import json
import queue
from typing import Any

import grpc
import numpy as np

from envring.callers.specs import read_specs
from envring.gateways.dm_env_rpc import protobuf, tensors
from envring.gateways.dm_env_rpc.protobuf import bytes_field, number_field

CREATE, JOIN, STEP, RESET, ERROR = 1, 2, 3, 4, 16
SECONDS = 20.0


class GrpcCaller:
    """One world, joined."""

    def __init__(self, url: str, env: str, **kwargs: Any) -> None:
        self._channel = grpc.insecure_channel(
            url.removeprefix("grpc://"), [("grpc.use_local_subchannel_pool", 1)]
        )
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        open_stream = self._channel.stream_stream("/dm_env_rpc.v1.Environment/Process")
        self._answers = open_stream(iter(self._requests.get, None), timeout=60)
        said = {"env": env, "kwargs": json.dumps(kwargs)}
        texts = {name: tensors.dumps(tensors.STRING, [text]) for name, text in said.items()}
        answer = self._ask(CREATE, _settings(texts))
        (name,) = [value for number, _, value in protobuf.fields(answer) if number == 1]
        for number, _, value in protobuf.fields(self._ask(JOIN, bytes_field(1, bytes(name)))):
            if number == 1:
                self._actions, self._seen = read_specs(value)

    def _ask(self, kind: int, body: bytes) -> memoryview:
        self._requests.put(bytes_field(kind, body))
        number, message = protobuf.choice(memoryview(next(self._answers)), ERROR)
        assert number == kind, bytes(message)
        return message

    def reset(self, seed: int | None) -> Any:
        """What is observed first."""
        seeds = {} if seed is None else {"seed": tensors.dumps(5, np.array(seed))}
        self._ask(RESET, _settings(seeds))
        return self._step(b"")[1]["observation"]

    def step(self, action: Any) -> tuple[Any, float, bool, bool]:
        """An observation, a reward, and whether the episode was terminated and truncated."""
        said = b""
        for uid, spec in self._actions.items():
            value = action
            for part in spec.name.split(".")[1:]:
                value = value[int(part)] if isinstance(value, list) else value[part]
            if spec.code == tensors.STRING:
                tensor = tensors.dumps(spec.code, [value])
            else:
                array = np.array(value, tensors.DTYPES[spec.code])
                tensor = tensors.dumps(spec.code, array, spec.shape)
            said += bytes_field(1, number_field(1, uid), bytes_field(2, tensor))
        state, found = self._step(said)
        assert (state == 3) <= found["truncated"]
        return found["observation"], found["reward"], state == 2, found["truncated"]

    def _step(self, actions: bytes) -> tuple[int, dict[str, Any]]:
        state, found = 0, {}
        uids = bytes_field(2, protobuf.pack_varints(np.array(list(self._seen))))
        for number, _, value in protobuf.fields(self._ask(STEP, actions + uids)):
            if number == 1:
                state = value
                continue
            uid, tensor = protobuf.entry(value)
            spec = self._seen[uid]
            read = tensors.loads(tensor).fit(spec)
            found[spec.name] = read if spec.code == tensors.STRING else read.tolist()
        return state, _nested(found)

    def close(self) -> None:
        """Goes away, with which the world ends."""
        self._requests.put(None)
        self._channel.close()


def _settings(values: dict[str, bytes]) -> bytes:
    return b"".join(
        bytes_field(1, bytes_field(1, name.encode()), bytes_field(2, tensor))
        for name, tensor in values.items()
    )


def _nested(found: dict[str, Any]) -> Any:
    """Dicts and lists, from names such as "a.b.0"."""
    if "" in found:
        return found[""]
    heads = dict.fromkeys(name.partition(".")[0] for name in found)
    parts = {
        head: _nested(
            {
                name.partition(".")[2]: value
                for name, value in found.items()
                if name.partition(".")[0] == head
            }
        )
        for head in heads
    }
    if all(head.isdigit() for head in heads):
        return [parts[str(place)] for place in range(len(parts))]
    return parts
