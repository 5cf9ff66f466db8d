# SPDX-License-Identifier: MIT
"""SOME and DONE by the hands of hostile callers and hosts."""

from __future__ import annotations

import contextlib
import struct
import time

import numpy as np
import pytest

import envring
from envring import EnvSource
from envring.gateways.runtimes import Runtime
from envring.testing.conformance_base import quiet
from envring.transport import codec, frames
from foreign import home
from support.callers import ask, introduced, until
from support.processes import wait_until

PLAIN = f"{home.FILE}:Plain"

pytestmark = pytest.mark.usefixtures("no_sessions_left")


@pytest.fixture(scope="module")
def host():
    runtime = Runtime("default", (PLAIN,), allow_kwargs=True)
    with envring.serve(runtimes=[runtime], grace=0.3) as host:
        yield host


# -- hostile callers -----------------------------------------------------------------------------


def words(*numbers):
    return struct.pack(f"<{len(numbers)}I", *numbers)


def opened(host, num_envs=3, **kwargs):
    link = introduced(host.url, f"c{time.monotonic_ns()}")
    source = {"env": PLAIN, "args": [], "kwargs": kwargs}
    kind, _ = ask(link, frames.OPEN, {"sources": [source] * num_envs, "workers": 2})
    assert kind == frames.OPENED
    return link


def outcome(link):
    """What a host says to the last request."""
    while True:
        frame = link.receive(until())
        if frame.head.kind == frames.ERROR:
            return codec.loads(frame.body)
        if frame.head.kind == frames.RESULT:
            return frame


RESETS = words(2, 3, 0, 1, 2)
TWO = words(0, 2, 0, 2) + bytes(16)  # actions 0


MALFORMED = [
    b"",
    words(0, 0),
    words(0, 4, 0, 1, 2, 3) + bytes(32),
    words(0, 1 << 31) + bytes(32),
    words(0, 1, 3) + bytes(8),
    words(0, 1, (1 << 32) - 1) + bytes(8),
    words(0, 2, 1, 1) + bytes(16),
    words(0, 2, 2, 1) + bytes(16),
    words(0, 2, 0),
    words(0, 2, 0, 1) + bytes(15),
    words(0, 2, 0, 1) + bytes(17),
    words(3, 1, 0) + bytes(8),
    words(0x6904, 1, 0) + bytes(4),
    words(1, 1, 0) + codec.dumps([0]),
    words(1, 2, 0, 1) + codec.dumps({0: 1}),
    words(1, 1, 0) + codec.dumps({1: 1}),
    words(1, 1, 0) + codec.dumps({0: 1, 1: 1}),
    words(1, 1, 1) + codec.dumps({True: 1}),
    words(1, 1, 0) + b"\xff",
    words(2, 1, 0) + codec.dumps({0: 7}),
    words(2, 1, 0) + codec.dumps({0: ("x", None)}),
    words(2, 1, 0) + codec.dumps({0: (1, {"env_id": "CartPole-v1"})}),
    words(2, 1, 0) + codec.dumps({2: (1, None)}),
]


def test_malformed_requests(host):
    """They change nothing, and end the session."""
    link = opened(host)
    (entry,) = host.sessions.all()
    sending = entry.session.sending(lambda: None)
    for body in MALFORMED:
        with pytest.raises((envring.WireError, envring.CodecError)):
            sending.send(body)
        assert sending.num_out == 0
    assert entry.session.steps == 0
    link.send(frames.SOME, [RESETS])
    link.send(frames.SOME, [MALFORMED[4]])
    assert outcome(link)["type"] == "WireError"
    link.close()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (frames.SOME, TWO),
        (frames.STEP, words(0) + bytes(24)),
        (frames.MESSAGE, codec.dumps(("reset", [1] * 3, None, None, False))),
        (frames.ATTACH, codec.dumps({})),
        (frames.OPEN, codec.dumps({})),
        (frames.DONE, b""),
    ],
)
def test_requests_while_envs_are_out(host, kind, body):
    link = opened(host, faults={"step": "stop"})
    link.send(frames.SOME, [TWO])
    link.send(kind, [body])
    assert outcome(link)["type"] == "WireError"
    link.close()


def test_a_caller_that_comes_back(host):
    """Its envs are as it left them; what they gave meanwhile is dropped."""
    link = opened(host)
    link.send(frames.SOME, [RESETS])
    client_id, source = "again", {"env": PLAIN, "args": [], "kwargs": {}}
    link.close()
    wait_until(lambda: not len(host.sessions), 20, "sessions have ended")
    wish = {"sources": [source] * 3, "workers": 2}
    for is_new in (True, False, False):
        link = introduced(host.url, client_id)
        kind, told = ask(link, frames.OPEN, wish)
        assert (kind, told["new"]) == (frames.OPENED, is_new)
        link.send(frames.SOME, [RESETS])
        link.close()
        wait_until(lambda: not host.num_connections, 20, "it was let go")
    link = introduced(host.url, client_id)
    assert ask(link, frames.OPEN, wish)[1]["new"] is False
    link.send(frames.STEP, [words(2)], number=5)
    assert outcome(link).head.number == 5
    link.send(frames.CLOSE)
    assert link.receive(until()).head.kind == frames.CLOSED
    link.close()


# -- hostile hosts -------------------------------------------------------------------------------

ROW = bytes(8 + 16 + 3 + 4 + 8 + 2)  # observation, reward, flags
ARRAYS, COLUMNS, FINALS, REPLY = frames.ARRAYS, frames.COLUMNS, frames.FINALS, frames.REPLY
NONSENSE = [
    (ARRAYS, b""),
    (ARRAYS, words(0)),
    (ARRAYS, words(1, 1) + ROW),  # not sent
    (ARRAYS, words(1, 3) + ROW),
    (ARRAYS, words(1, (1 << 32) - 1) + ROW),
    (ARRAYS, words(2, 0, 0) + ROW + ROW),
    (ARRAYS, words(2, 2, 0) + ROW + ROW),
    (ARRAYS, words(1, 0) + ROW[1:]),
    (ARRAYS, words(1, 0) + ROW + b"x"),
    (0, words(1, 0)),
    (ARRAYS | COLUMNS, words(1, 0) + ROW + b"\0"),
    (ARRAYS | FINALS, words(1, 0) + ROW + b"\1" + bytes(30)),
    (ARRAYS | REPLY, words(1, 0) + ROW),
    (ARRAYS | REPLY, words(1, 0) + ROW + codec.dumps({"infos": {1: {"x": 1}}})),
    (ARRAYS | REPLY, words(1, 0) + ROW + codec.dumps({"infos": {2: {"x": 1}}})),
    (ARRAYS | REPLY, words(1, 0) + ROW + codec.dumps({"failures": [(2, "exception", "", "")]})),
    (ARRAYS | REPLY, words(1, 0) + ROW + codec.dumps({"results": [1, 2, 3]})),
    (ARRAYS | REPLY, words(1, 0) + ROW + codec.dumps({"dynamic": {9: {0: 1}}})),
]


def test_answers_that_are_nonsense(host):
    source = EnvSource.elsewhere(PLAIN, kwargs={"faults": {"step": "stop"}})
    envs = envring.RingVectorEnv([source] * 3, remotes=host.url)
    with quiet(), contextlib.closing(envs):
        envs.reset(seed=0)
        envs.send(np.zeros(2, np.int64), [0, 2])
        flow = envs._batcher.arrivals()._flow
        for flags, body in NONSENSE:
            head = frames.Head(frames.DONE, flags, 0, len(body))
            with pytest.raises((envring.WireError, envring.CodecError)):
                flow._store(frames.Frame(head, body))
        assert flow.among_out(np.arange(3, dtype=np.int32)) == [0, 2]
        (entry,) = host.sessions.all()
        entry.link.send(frames.DONE, [words(1, 2) + ROW], flags=ARRAYS)
        observations, *_, infos = envs.recv(1, timeout=20)
        assert infos["env_id"].tolist() == [2]
        assert not infos.keys() - {"env_id"}
        assert not observations["pixels"].any()
        entry.link.send(frames.DONE, [NONSENSE[2][1]], flags=ARRAYS)
        for _ in range(2):
            with pytest.raises(envring.EnvringError, match="cannot be read"):
                envs.recv(1, timeout=20)
