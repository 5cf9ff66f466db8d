# SPDX-License-Identifier: MIT
"""Servers of other projects that answer anything: values or a typed error, and nothing else."""

from __future__ import annotations

import copy
import json
import random
import warnings

import numpy as np
import pytest

import envring
from envring import EnvringError
from envring.callers import dm_env_rpc, openenv
from envring.gateways.dm_env_rpc import protobuf
from envring.gateways.dm_env_rpc.protobuf import bytes_field, number_field
from envring.gateways.dm_env_rpc.service import Stream
from envring.gateways.dm_env_rpc.tensors import STRING, Spec, dumps
from envring.gateways.guests import Guests
from envring.transport.addresses import parse

ADDRESS = parse("grpc://127.0.0.1:1")
COUNTING = "envring.testing:CountingEnv"


def specs(actions, observations):
    """What a server of another project answers to a join."""
    entries = b"".join(
        bytes_field(number, number_field(1, uid), bytes_field(2, spec.dumps()))
        for number, side in ((1, actions), (2, observations))
        for uid, spec in side.items()
    )
    return bytes_field(2, bytes_field(1, entries))


def foreign_answers():
    """Of a server with several tensors of different types."""
    low, high = np.array([-1.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32)
    actions = {1: Spec("act", 5, (), np.array(-2), np.array(4)), 4: Spec("say", STRING)}
    seen = {1: Spec("a", 1, (2,), low, high, True), 2: Spec("reward", 2), 7: Spec("b", 4, (2, 2))}
    found = {1: dumps(1, low, (2,)), 2: dumps(2, 0.5), 7: dumps(4, np.arange(4), (2, 2))}
    step = number_field(1, 1) + b"".join(
        bytes_field(2, number_field(1, uid), bytes_field(2, tensor))
        for uid, tensor in found.items()
    )
    return {
        1: bytes_field(1, bytes_field(1, b"w")),
        2: specs(actions, seen),
        3: bytes_field(3, step),
    }


@pytest.fixture(scope="module")
def our_answers():
    """Of a host of ours, by the kind of the request."""
    with envring.serve(COUNTING) as host:
        stream = Stream(Guests(host), "test", None)
        found = {1: stream.answer(bytes_field(1, b""))}
        _, world = protobuf.choice(memoryview(found[1]), 16)
        found[2] = stream.answer(bytes_field(2, bytes(world)))
        found[3] = stream.answer(bytes_field(3, bytes_field(2, bytes([1, 2, 4, 5]))))
        stream.close()
    return found


class Answers:
    """Instead of a stream: answers by the kind of the request, one of them damaged."""

    began = False

    def __init__(self, answers):
        self.answers = answers

    def ask(self, request):
        kind, _ = protobuf.choice(memoryview(request), 16)
        return self.answers.get(kind, bytes_field(kind, b""))

    def lose(self, why):
        return envring.HostLost((0,), "x", why)

    def close(self):
        pass


def damaged(data, rng):
    found = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(found))
        match rng.randrange(3):
            case 0:
                found[at] = rng.randrange(256)
            case 1:
                del found[at : at + rng.randrange(1, 5)]
            case _:
                found[at:at] = rng.randbytes(rng.randrange(1, 5))
        if not found:
            break
    return bytes(found)


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_damaged_answers_of_dm_env_rpc(whose, our_answers, monkeypatch):
    honest = our_answers if whose == "ours" else foreign_answers()
    rng, played = random.Random(7), 0
    for number in range(-1, 600):
        answers = dict(honest)
        if number >= 0:
            kind = rng.choice([2, 3])
            answers[kind] = damaged(answers[kind], rng)
        monkeypatch.setattr(dm_env_rpc, "GrpcStream", lambda _: Answers(answers))  # noqa: B023
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Gymnasium, about odd bounds
            try:
                env = dm_env_rpc.DmEnvRpcClient(ADDRESS, "", {})
                env.reset(seed=1)
                env.step(env.action_space.sample())
                played += 1
            except EnvringError:
                assert number >= 0
    assert played > 10


SCHEMAS = {
    "action": {
        "properties": {
            "n": {"type": "integer", "minimum": 0, "maximum": 3},
            "v": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
        },
        "required": ["n", "v"],
    },
    "observation": {
        "properties": {
            "place": {"type": "integer", "minimum": -5, "maximum": 5},
            "flag": {"type": "boolean"},
            "far": {"type": "number", "minimum": -1, "maximum": 1},
            "grid": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "items": {
                    "type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "integer"},
                },
            },
            "text": {"type": "string"},
        }
    },
}  # fmt: skip
SEEN = {
    "observation": {"place": 1, "flag": True, "far": 0.5, "grid": [[1, 2]], "text": "x"},
    "reward": 1,
    "done": False,
}
ODD = [None, True, -1, 1 << 70, 1e308, float("nan"), float("inf"), "", "x", [], {}, [[]], {"a": 1}]


def changed(value, rng):
    """A copy with something else in some place."""
    value = copy.deepcopy(value)
    places = []

    def walk(each):
        for key in each if isinstance(each, dict) else range(len(each)):
            places.append((each, key))
            if isinstance(each[key], dict | list):
                walk(each[key])

    walk(value)
    for _ in range(rng.randrange(1, 3)):
        where, key = rng.choice(places)
        if isinstance(where, dict) or key < len(where):
            where[key] = rng.choice(ODD)
    return value


def test_damaged_answers_of_openenv(monkeypatch):
    rng, played = random.Random(7), 0

    class Socket:
        def send(self, text):
            self.kind = json.loads(text)["type"]

        def recv(self, timeout):
            data = {} if self.kind == "state" else seen
            kind = "state" if self.kind == "state" else "observation"
            return json.dumps({"type": kind, "data": data})

    for number in range(-1, 600):
        schemas, seen = SCHEMAS, SEEN
        if number >= 0:
            if rng.random() < 0.5:
                schemas = changed(SCHEMAS, rng)
            else:
                seen = changed(SEEN, rng)
        monkeypatch.setattr(
            openenv.OpenEnvClient,
            "_get",
            lambda *_: (200, json.loads(json.dumps(schemas))),  # noqa: B023
        )
        monkeypatch.setattr(openenv.OpenEnvClient, "_connected", lambda *_: Socket())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                env = openenv.OpenEnvClient(parse("openenv://127.0.0.1:1"), "", {})
                env.reset(seed=1)
                env.step({"n": 1, "v": [1.0, 2.0]})
                played += 1
            except EnvringError:
                assert number >= 0
    assert played > 20
