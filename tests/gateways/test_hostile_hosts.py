# SPDX-License-Identifier: MIT
"""Hostile hosts: a caller gets values or a typed error, and nothing else happens.

`HYPOTHESIS_PROFILE=search` and `make fuzz` try many more.
"""

from __future__ import annotations

import contextlib
import socket
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import envring
from envring import EnvringError, EnvSource
from envring.testing.conformance_base import quiet
from envring.transport import codec, frames
from envring.transport.frames import Link
from support.callers import until
from support.damage import damaged_body, damaged_bytes, examples
from support.processes import peak_memory

ENV = "CartPole-v1"
NUM_ENVS = 2


# -- a hostile host ------------------------------------------------------------------------------


class HostileHost:
    """Answers as a host did once, except for one answer.

    Attributes:
        url: where it listens.
        answers: of the host: kind of the request -> what it answered.
    """

    def __init__(self, honest_url):
        self.answers = self._record(honest_url)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}?heartbeat=5"
        self._damage = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _record(self, honest_url):
        """What an honest host answers, as (kind, flags, body) in the order of the requests."""
        seen = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=_relay, args=(server, honest_url, seen))
            thread.start()
            play(f"tcp://127.0.0.1:{server.getsockname()[1]}", 30)
            thread.join(20)
        return seen

    def attack(self, number, change):
        """The answer of that number is to be changed by a function of (kind, flags, body)."""
        self._damage = number, change

    def _run(self):
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            link = Link(sock, "caller")
            link.max_frame = frames.MAX_FRAME
            with contextlib.suppress(EnvringError, OSError):
                self._serve(link, sock)
            link.close()

    def _serve(self, link, sock):
        link.receive_greeting(until())
        link.send_greeting(until())
        damaged_one, change = self._damage
        for number, (kind, flags, body) in enumerate(self.answers):
            frame = link.receive(until())
            while frame.head.kind == frames.TEMPLATES:
                frame = link.receive(until())
            if frame.head.kind == frames.CLOSE:
                return
            if number == damaged_one:
                answer = change(kind, flags, body)
                if isinstance(answer, bytes):
                    sock.setblocking(True)
                    sock.sendall(answer)
                    return
                kind, flags, body = answer
            link.send(kind, [body], flags=flags, number=frame.head.number, deadline=until())

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


def _relay(server, honest_url, seen):
    """Passes frames on between a caller and a host, and notes what the host answers."""
    sock, _ = server.accept()
    name, port = honest_url.removeprefix("tcp://").split(":")
    caller = Link(sock, "caller")
    host = Link(socket.create_connection((name, int(port))), "host")
    caller.max_frame = host.max_frame = frames.MAX_FRAME
    try:
        host.send_greeting(until(), caller.receive_greeting(until()))
        caller.send_greeting(until(), host.receive_greeting(until()))
        while True:
            request = caller.receive(until())
            _pass_on(request, host)
            if request.head.kind == frames.TEMPLATES:
                continue
            answer = host.receive(until())
            seen.append((answer.head.kind, answer.head.flags, answer.body))
            _pass_on(answer, caller)
    except (OSError, EnvringError):
        pass
    finally:
        caller.close()
        host.close()


def _pass_on(frame, link):
    head = frame.head
    link.send(head.kind, [frame.body], flags=head.flags, number=head.number, deadline=until())


def play(url, start_timeout=5):
    """A short episode: what comes back, or the error."""
    envs = envring.RingVectorEnv(
        [EnvSource(ENV)] * NUM_ENVS, remotes=url, start_timeout=start_timeout
    )
    try:
        seen = [envs.reset(seed=1)]
        for _ in range(3):
            seen.append(envs.step(np.ones(NUM_ENVS, int)))
        seen.append(envs.call("get_wrapper_attr", "gravity"))
        return seen
    finally:
        envs.close()


@pytest.fixture(scope="module")
def host():
    with envring.serve(ENV, grace=0.2) as host:
        yield host


@pytest.fixture(scope="module")
def hostile(host):
    hostile = HostileHost(host.url)
    yield hostile
    hostile.close()


def test_the_host_that_is_imitated(hostile):
    assert len(hostile.answers) >= 8
    hostile.attack(-1, None)
    assert len(play(hostile.url)) == 5


class TestHostsAgainstCallers:
    """A caller gets values or an EnvringError, whatever a host sends."""

    @examples(120)
    @given(data=st.data())
    def test_bodies(self, hostile, data):
        number = data.draw(st.integers(0, len(hostile.answers) - 1), "which answer")
        body = data.draw(damaged_body(hostile.answers[number][2]), "body")
        self.attack(hostile, number, lambda kind, flags, _: (kind, flags, body))

    @examples(60)
    @given(data=st.data())
    def test_kinds_and_flags(self, hostile, data):
        number = data.draw(st.integers(0, len(hostile.answers) - 1), "which answer")
        kind = data.draw(st.sampled_from(frames.KINDS), "kind")
        flags = data.draw(st.integers(0, 31), "flags")
        same = data.draw(st.booleans(), "same kind")
        self.attack(hostile, number, lambda own, _, body: (own if same else kind, flags, body))

    @examples(40)
    @given(data=st.data())
    def test_bytes(self, hostile, data):
        number = data.draw(st.integers(0, len(hostile.answers) - 1), "which answer")
        kind, flags, body = hostile.answers[number]
        head = frames._HEAD.pack(len(body), kind, flags, 0, 0, 1)
        sent = data.draw(damaged_bytes(head + body), "bytes")
        self.attack(hostile, number, lambda *_: sent)

    def attack(self, hostile, number, change):
        hostile.attack(number, change)
        with quiet(), contextlib.suppress(EnvringError):
            play(hostile.url)

    @pytest.mark.parametrize(
        "told",
        [
            {"type": "WorkerDied", "text": "", "env_ids": (0, 1 << 70)},
            {"type": "WorkerDied", "text": "", "env_ids": (-3,), "pid": 1, "exitcode": 1},
            {"type": "WorkerTimeout", "text": "x", "env_ids": {}, "stack": 3},
            {"type": "HostRefused", "text": "x"},
            {"type": "__class__", "text": "x"},
            {"type": "SystemExit", "text": "x"},
            {"type": ["WireError"], "text": "x"},
            {"type": "SolveError", "text": None, "trace": 3},
            [],
            None,
        ],
    )
    def test_errors(self, hostile, told):
        hostile.attack(3, lambda *_: (frames.ERROR, 0, codec.dumps(told)))
        with quiet(), pytest.raises(EnvringError) as caught:
            play(hostile.url)
        assert str(caught.value)

    @pytest.mark.parametrize("features", [np.zeros(2), [np.zeros(2), frames.SEND], [[]], 5, None])
    def test_features(self, hostile, features):
        """A caller takes from them what it knows."""
        welcome = {**codec.loads(hostile.answers[0][2]), "features": features}
        hostile.attack(0, lambda kind, flags, _: (kind, flags, codec.dumps(welcome)))
        assert len(play(hostile.url)) == 5

    def test_values_of_other_envs_stay(self, hostile):
        """Rows, infos and errors of a host's envs are those of its envs, here the last two."""
        local = envring.make_vec(ENV, 1)
        expected = local.reset(seed=1)[0][0]
        local.close()
        reset = next(i for i, answer in enumerate(hostile.answers) if answer[0] == frames.RESULT)
        results = [9.0] * 99
        evil = codec.dumps({"results": results, "infos": {0: {"x": 1}, -1: {"x": 2}, 2: {"x": 3}}})
        whole = hostile.answers[reset][2]
        attacks = [
            lambda kind, flags, body: (kind, flags, b"\x7f" * len(whole)),
            lambda kind, flags, body: (kind, flags | frames.REPLY, whole + evil),
        ]
        for change in attacks:
            hostile.attack(reset, change)
            envs = envring.RingVectorEnv(
                [EnvSource(ENV)] * 3, remotes=f"1,{hostile.url}", context="spawn"
            )
            try:
                with quiet(), contextlib.suppress(EnvringError):
                    observations, infos = envs.reset(seed=1)
                    assert np.array_equal(observations[0], expected)
                    assert "x" not in infos or not infos["_x"][0]
            finally:
                envs.close()

    @pytest.mark.parametrize("length", [1 << 29, (1 << 30) + 1, (1 << 64) - 1])
    def test_memory_is_taken_as_bytes_come(self, hostile, length):
        before = peak_memory()
        head = frames._HEAD.pack(length, frames.OPENED, 0, 0, 0, 0)
        hostile.attack(1, lambda *_: head + bytes(1000))
        with pytest.raises(EnvringError):
            play(hostile.url)
        assert peak_memory() - before < 100 << 20
