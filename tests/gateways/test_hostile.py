# SPDX-License-Identifier: MIT
"""Hostile callers: a host answers, or refuses with a reason, and others go on.

`HYPOTHESIS_PROFILE=search` and `make fuzz` try many more.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import envring
from envring import EnvringError
from envring.transport import codec, frames
from support.callers import ask, connect, introduced, until
from support.damage import damaged, damaged_bytes, examples
from support.processes import wait_until

ENV = "CartPole-v1"
NUM_ENVS = 2


@pytest.fixture(scope="module")
def host():
    with envring.serve(ENV, grace=0.2) as host:
        yield host


@pytest.fixture
def other(host):
    """Another caller's envs, which nothing may disturb."""
    envs = envring.make_vec(ENV, 1, remotes=host.url)
    envs.reset(seed=1)
    yield envs
    envs.step(np.ones(1, int))
    envs.close()
    wait_until(lambda: not len(host.sessions), 20, "sessions have ended")


OPEN = {"sources": [{"env": ENV, "args": [], "kwargs": {}}], "heartbeat": 60.0, "limits": {}}


PLANS = {"obs": ("leaf", 0, "<f4", (4,)), "action": ("leaf", 0, "<i8", ())}
TEMPLATES = [
    (frames.TEMPLATES, [(1, [("f", "x")])]),
    (frames.TEMPLATES, [(1, [("d", "x", [("a", "y", "<f8", (3,))])]), (2, [("n", "z", "<i4")])]),
]


def greeted(host):
    return introduced(host.url, os.urandom(8).hex())


def opened(host):
    link = greeted(host)
    assert ask(link, frames.OPEN, OPEN)[0] == frames.OPENED
    assert ask(link, frames.ATTACH, PLANS)[0] == frames.ATTACHED
    return link


def outcome(link):
    """What the host says to what it was sent last: a frame's kind, None if it hung up."""
    try:
        frame = link.receive(until(20))
        while frame.head.kind == frames.ALIVE:
            frame = link.receive(until(20))
    except OSError:
        return None
    if frame.head.kind == frames.ERROR:
        told = codec.loads(frame.body)
        assert not told["text"].startswith("The host failed"), told
    return frame.head.kind


MESSAGES = [
    ("reset", [1], None, None, False),
    ("reset", [1], [{"a": 1}], [True], True),
    ("call", "get_wrapper_attr", ("gravity",), {}),
    ("call", "get_wrapper_attr", ("gravity",), {}, [True]),
    ("set_attr", "x", [1]),
    ("takes", "reset", "seed"),
]


class TestCallersAgainstHosts:
    """A host answers, or refuses with a reason; it never fails, and others go on."""

    @examples(60)
    @given(data=st.data())
    def test_before_the_key(self, host, other, data):
        greeting = frames._GREETING.pack(b"ENVR", frames.LOWEST, frames.VERSION)
        hello = codec.dumps({"client_id": "c", "key": "k"})
        head = frames._HEAD.pack(len(hello), frames.HELLO, 0, 0, 0, 0)
        sent = data.draw(damaged_bytes(greeting + head + hello), "bytes")
        name, port = host.url.removeprefix("tcp://").split(":")
        with socket.create_connection((name, int(port)), 20) as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(1 << 16):
                    pass

    @examples(8)
    @given(data=st.data())
    def test_what_opens_a_session(self, host, other, data):
        wish = data.draw(damaged({**OPEN, "workers": 1, "runtime": None}), "wish")
        with contextlib.closing(greeted(host)) as link, contextlib.suppress(EnvringError):
            link.send(frames.OPEN, [codec.dumps(wish)])
            assert outcome(link) in (frames.OPENED, frames.ERROR)

    @examples(8)
    @given(data=st.data())
    def test_what_a_session_is_asked(self, host, other, data):
        message = data.draw(damaged(data.draw(st.sampled_from(MESSAGES))), "message")
        with contextlib.closing(opened(host)) as link, contextlib.suppress(EnvringError):
            link.send(frames.MESSAGE, [codec.dumps(message)], number=1)
            assert outcome(link) in (frames.RESULT, frames.ERROR)

    @examples(6)
    @given(data=st.data())
    def test_frames_of_a_session(self, host, other, data):
        kind = data.draw(st.sampled_from(frames.KINDS), "kind")
        body = data.draw(st.binary(max_size=40), "body")
        flags = data.draw(st.integers(0, 255), "flags")
        number = data.draw(st.integers(0, (1 << 64) - 1), "number")
        with contextlib.closing(opened(host)) as link, contextlib.suppress(OSError):
            link.send(kind, [body], flags=flags, number=number)
            link.send(frames.STEP, [b"\0" * 12], number=1)
            outcome(link)

    @examples(8)
    @given(data=st.data())
    def test_plans_and_templates(self, host, other, data):
        kind, value = data.draw(st.sampled_from([(frames.ATTACH, PLANS), *TEMPLATES]))
        sent = data.draw(damaged(value), "value")
        with contextlib.closing(greeted(host)) as link, contextlib.suppress(EnvringError):
            assert ask(link, frames.OPEN, OPEN)[0] == frames.OPENED
            link.send(kind, [codec.dumps(sent)])
            if kind == frames.TEMPLATES:
                link.send(frames.MESSAGE, [codec.dumps(MESSAGES[0])], number=1)
            assert outcome(link) in (frames.ATTACHED, frames.RESULT, frames.ERROR)

    @pytest.mark.parametrize("named", [np.zeros(2), [np.zeros(0)], {}])
    def test_arrays_where_a_name_belongs(self, host, named):
        """They cannot be compared with a name."""
        for kind, value in (
            (frames.ATTACH, {**PLANS, "obs": (named, [])}),
            (frames.MESSAGE, (named,)),
        ):
            with contextlib.closing(greeted(host)) as link:
                assert ask(link, frames.OPEN, OPEN)[0] == frames.OPENED
                link.send(kind, [codec.dumps(value)], number=1)
                assert outcome(link) == frames.ERROR

    @pytest.mark.parametrize("value", [np.zeros(2), np.zeros(1)])
    @pytest.mark.parametrize("where", ["env", "args", "kwargs", "limits", "runtime"])
    def test_arrays_in_what_opens_a_session(self, host, where, value):
        """Of many, nobody can tell whether they are true; of one, it may be false."""
        wish = {**OPEN, "runtime": None}
        if where in wish:
            wish[where] = value
        else:
            wish["sources"] = [{**OPEN["sources"][0], where: value}]
        with contextlib.closing(greeted(host)) as link:
            kind, told = ask(link, frames.OPEN, wish)
            assert (kind, told["type"]) == (frames.ERROR, "HostRefused")

    @pytest.mark.parametrize("mask", [[[1], [1, 2]], [np.zeros(2)], np.zeros(1), "x", [[True]]])
    def test_what_is_no_mask(self, host, mask):
        for message in (
            ("reset", [1], None, mask, False),
            ("call", "get_wrapper_attr", ("gravity",), {}, mask),
        ):
            with contextlib.closing(opened(host)) as link:
                link.send(frames.MESSAGE, [codec.dumps(message)], number=1)
                assert outcome(link) == frames.ERROR

    @pytest.mark.parametrize("which", ["obs", "action"])
    def test_plans_that_are_larger_than_the_spaces(self, host, which):
        """A caller does not decide how much memory a session takes."""
        with contextlib.closing(greeted(host)) as link:
            assert ask(link, frames.OPEN, OPEN)[0] == frames.OPENED
            kind, told = ask(link, frames.ATTACH, {**PLANS, which: ("leaf", 0, "<f8", (1 << 20,))})
            assert (kind, told["type"]) == (frames.ERROR, "WireError")
            assert "larger than the spaces" in told["text"]

    @pytest.mark.parametrize(
        "lost",
        [
            7,
            {},
            {"obs": {1: 0}, "pending": [], "seeds": {}},
            {"obs": {-1: 0}, "pending": [], "seeds": {}},
            {"obs": {}, "pending": ["0"], "seeds": {}},
            {"obs": {}, "pending": [], "seeds": {0: -1}},
            {"obs": {}, "pending": [], "seeds": {0: "x"}},
            {"obs": [], "pending": [], "seeds": {}},
        ],
    )
    def test_what_was_lost_is_told_of_envs_of_the_session(self, host, lost):
        with contextlib.closing(greeted(host)) as link:
            assert ask(link, frames.OPEN, OPEN)[0] == frames.OPENED
            kind, told = ask(link, frames.ATTACH, {**PLANS, "lost": lost})
            assert (kind, told["type"]) == (frames.ERROR, "WireError")

    @pytest.mark.parametrize("obs", ["nonsense", np.zeros(9, np.float32), None, {"a": 1}])
    def test_a_last_observation_that_is_none(self, host, obs):
        """The env's step fails; the session goes on."""
        lost = {"obs": {0: obs}, "pending": [], "seeds": {}}
        with contextlib.closing(greeted(host)) as link:
            assert ask(link, frames.OPEN, OPEN)[0] == frames.OPENED
            assert ask(link, frames.ATTACH, {**PLANS, "lost": lost})[0] == frames.ATTACHED
            for body in (bytes(12), b"\2\0\0\0", bytes(12)):  # a step, a reset, a step
                link.send(frames.STEP, [body], number=1)
                assert outcome(link) == frames.RESULT

    def test_two_connections_with_one_name_at_once(self, host):
        """One gets the session, the other is refused; no slot is lost."""
        links = [connect(host.url) for _ in range(4)]
        found = queue.SimpleQueue()

        def claim(link):
            link.max_frame = frames.MAX_FRAME
            ask(link, frames.HELLO, {"client_id": "same"})
            found.put(ask(link, frames.OPEN, OPEN))

        threads = [threading.Thread(target=claim, args=(link,)) for link in links]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        answers = [found.get(timeout=1) for _ in links]
        assert sorted(kind for kind, _ in answers) == [frames.OPENED] + [frames.ERROR] * 3
        assert {told["reason"] for kind, told in answers if kind == frames.ERROR} == {"busy"}
        assert host.sessions.used() == 1
        for link in links:
            link.close()
        wait_until(lambda: not host.sessions.used(), 20, "the slot is free")

    def test_sessions_belong_to_a_key_and_to_what_was_asked(self):
        with envring.serve(ENV, keys=["mine", "theirs"], grace=20) as host:

            def come(key, wish):
                link = connect(host.url)
                link.max_frame = frames.MAX_FRAME
                assert ask(link, frames.HELLO, {"client_id": "s", "key": key})[0] == frames.WELCOME
                answer = ask(link, frames.OPEN, wish)
                link.close()
                wait_until(lambda: not host.num_connections, 10, "it was let go")
                return answer

            assert come("mine", OPEN)[1]["new"] is True
            kind, told = come("theirs", OPEN)
            assert (kind, told["reason"]) == (frames.ERROR, "busy")
            others = [{"env": ENV, "args": [], "kwargs": {"render_mode": "rgb_array"}}]
            kind, told = come("mine", {**OPEN, "sources": others})
            assert (kind, told["reason"]) == (frames.ERROR, "busy")
            assert "other envs" in told["text"]
            assert come("mine", OPEN)[1]["new"] is False

    def test_frames_that_are_too_large(self, host, other):
        for at, most in ((0, frames.MAX_HANDSHAKE), (1, 1 << 24), (2, host.options.max_frame)):
            link = (connect, greeted, opened)[at](host.url if at == 0 else host)
            kind = (frames.HELLO, frames.OPEN, frames.MESSAGE)[at]
            link._sock.setblocking(True)
            link._sock.sendall(frames._HEAD.pack(most + 1, kind, 0, 0, 0, 1))
            assert outcome(link) == frames.ERROR
            link.close()

    def test_peers_that_stall_in_the_middle_of_a_frame(self):
        with envring.serve(ENV, handshake_timeout=0.3, idle_timeout=0.5, grace=0) as host:
            for link in (greeted(host), opened(host)):
                link._sock.setblocking(True)
                link._sock.sendall(frames._HEAD.pack(1000, frames.MESSAGE, 0, 0, 0, 1) + b"x")
                if link is not None and host.sessions.used():
                    wait_until(lambda: not len(host.sessions), 10, "the idle session has ended")
                link.close()

    def test_connections_of_one_peer(self):
        with envring.serve(ENV, max_connections=3) as host:
            links = [connect(host.url) for _ in range(3)]
            with pytest.raises(envring.HostRefused, match="too many connections") as caught:
                envring.make_vec(ENV, 1, remotes=host.url, start_timeout=2)
            assert caught.value.reason == "full"
            links.pop().close()
            wait_until(lambda: host.num_connections == 2, 10, "one is gone")
            envring.make_vec(ENV, 1, remotes=host.url).close()
            for link in links:
                link.close()

    def test_names_that_would_spoil_a_log(self, host):
        link = connect(host.url)
        kind, _ = ask(link, frames.HELLO, {"client_id": "a\nb"})
        assert kind == frames.ERROR
        link.close()
