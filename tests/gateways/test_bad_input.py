# SPDX-License-Identifier: MIT
"""Bad input of callers: a typed error for each, a line in the log, no other session touched."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import time

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError

import envring
from envring import ActionError, HostRefused, RemoteEnvError, UnsendableError
from envring.testing.conformance_base import quiet
from envring.transport import codec, frames
from envring.transport.addresses import no_delay
from envring.transport.frames import Link, LinkClosed
from support.callers import ask, connect, until
from support.processes import wait_until

STEP = [bytes(4), bytes(8)]  # of one CartPole


@pytest.fixture(scope="module")
def host():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENVRING_TEST_KEY", "right")
        with envring.serve(
            "CartPole-v1", keys=["right"], grace=0.1, handshake_timeout=1.0
        ) as running:
            yield running


@pytest.fixture(scope="module")
def other(host):
    """A session that goes on whatever happens to those beside it."""
    envs = envring.make_vec("CartPole-v1", 2, remotes=address(host))
    envs.reset(seed=1)
    yield envs
    envs.close()


def address(host, options="key=env:ENVRING_TEST_KEY"):
    return f"{host.url}?{options}"


@contextlib.contextmanager
def cart_poles(host, options="key=env:ENVRING_TEST_KEY", env="CartPole-v1"):
    envs = envring.make_vec(env, 2, remotes=address(host, options))
    try:
        yield envs
    finally:
        envs.close()


@contextlib.contextmanager
def session(host, reset=True):
    """A session with one env of a caller that speaks the wire by hand."""
    link = connect(host.url)
    try:
        no_delay(link._sock)
        assert ask(link, frames.HELLO, {"client_id": "c", "key": "right"})[0] == frames.WELCOME
        assert ask(link, frames.OPEN, {"sources": [{}]})[0] == frames.OPENED
        if reset:
            link.send(frames.STEP, [(2).to_bytes(4, "little")], number=1)
            assert link.receive(until()).head.kind == frames.RESULT
        yield link
    finally:
        link.close()


def told(link):
    """The error that the host reports."""
    while True:
        frame = link.receive(until())
        if frame.head.kind == frames.ERROR:
            return codec.loads(frame.body)


# -- callers of ours -----------------------------------------------------------------------------


def unknown_env(host):
    with pytest.raises(HostRefused, match="not served") as caught, cart_poles(host, env="Taxi-v3"):
        pass
    assert caught.value.reason == "env"
    return "refused: .*Taxi-v3"


def unknown_runtime(host):
    options = "key=env:ENVRING_TEST_KEY&runtime=other"
    with pytest.raises(HostRefused) as caught, cart_poles(host, options):
        pass
    assert caught.value.reason == "runtime"
    return "refused: .*other"


def no_key(host):
    with pytest.raises(HostRefused) as caught, cart_poles(host, "heartbeat=10"):
        pass
    assert caught.value.reason == "key"
    return "refused: .*key"


def action_outside_the_space(host):
    with cart_poles(host) as envs:
        envs.reset()
        with quiet(), pytest.raises(RemoteEnvError, match="AssertionError"):
            envs.step(np.array([0, 7]))
        with pytest.raises(ActionError):  # which does not reach the host
            envs.step(np.zeros((2, 3)))
        envs.step(np.ones(2, int))
    return "env 1 raised .*AssertionError"


def step_before_reset(host):
    with (
        cart_poles(host) as envs,
        quiet(),
        pytest.raises(RemoteEnvError, match="ResetNeeded"),
    ):
        envs.step(np.ones(2, int))
    return "env 0 raised .*ResetNeeded"


def a_name_that_leads_out_of_the_env(host):
    with cart_poles(host) as envs:
        for call in [
            lambda: envs.call("__class__"),
            lambda: envs.call("get:__dict__"),
            lambda: envs.call("get_wrapper_attr", "__dict__"),
            lambda: envs.call("run:get_wrapper_attr", "__dict__"),
            lambda: envs.call("set_wrapper_attr", "__dict__", {}),
            lambda: envs.set_attr("__dict__", {}),
        ]:
            with pytest.raises(UnsendableError, match="__' cannot be asked of"):
                call()  # which does not reach the host
        assert envs.call("get_wrapper_attr", "gravity") == (9.8, 9.8)
    return "opened session"


def use_after_close(host):
    with cart_poles(host) as envs:
        envs.reset()
    with pytest.raises(ClosedEnvironmentError):
        envs.step(np.ones(2, int))
    return "opened session"


# -- callers by hand -----------------------------------------------------------------------------


def another_version(host):
    name, port = host.url.removeprefix("tcp://").split(":")
    link = Link(socket.create_connection((name, int(port))), host.url)
    link.send_greeting(until(), (7, 9))
    link.receive_greeting(until())
    error = told(link)
    link.close()
    assert (error["type"], error["reason"]) == ("HostRefused", "version")
    assert "7 to 9" in error["text"]
    assert f"{frames.LOWEST} to {frames.VERSION}" in error["text"]
    return "refused: .*7 to 9"


def a_frame_that_is_too_large(host):
    with session(host) as link:
        link._sock.sendall(frames._HEAD.pack(1 << 40, frames.STEP, 0, 0, 0, 2))
        assert told(link)["type"] == "WireError"
    return f"announced a frame of {1 << 40} bytes"


def a_frame_that_ends_too_soon(host):
    with session(host) as link:
        link._sock.sendall(frames._HEAD.pack(12, frames.STEP, 0, 0, 0, 2) + bytes(5))
        link._sock.shutdown(socket.SHUT_WR)
        with pytest.raises(LinkClosed):  # nobody is there to be told
            link.receive(until())
    return "is gone"


def a_batch_that_is_too_short(host):
    with session(host) as link:
        link.send(frames.STEP, [bytes(4), bytes(7)], number=2)
        assert told(link)["type"] == "WireError"
    return "a step has 7 bytes"


def two_requests_at_once(host):
    with session(host) as link:
        link._sock.sendall(2 * (frames._HEAD.pack(12, frames.STEP, 0, 0, 0, 2) + b"".join(STEP)))
        assert told(link)["type"] == "WireError"
    return "two requests at once"


def a_request_after_the_end(host):
    with session(host) as link:
        assert ask(link, frames.CLOSE, {})[0] == frames.CLOSED
        with pytest.raises(LinkClosed):
            ask(link, frames.STEP, 0, number=2)
    return "opened session c"


def a_slow_peer(host):
    link = connect(host.url)
    began = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in frames._HEAD.pack(100, frames.HELLO, 0, 0, 0, 0) + bytes(100):
            link._sock.sendall(bytes([byte]))
            time.sleep(0.1)
    with pytest.raises(LinkClosed):
        link.receive(until())
    assert time.monotonic() - began < 10
    link.close()
    return "is gone: it took too long"


@pytest.mark.parametrize(
    "mistake",
    [
        unknown_env,
        unknown_runtime,
        no_key,
        action_outside_the_space,
        step_before_reset,
        use_after_close,
        a_name_that_leads_out_of_the_env,
        another_version,
        a_frame_that_is_too_large,
        a_frame_that_ends_too_soon,
        a_batch_that_is_too_short,
        two_requests_at_once,
        a_request_after_the_end,
        a_slow_peer,
    ],
)
def test_it_is_an_error_and_a_line_and_touches_nobody_else(mistake, host, other, caplog):
    with caplog.at_level(logging.INFO, "envring.serve"):
        line = mistake(host)
        wait_until(lambda: re.search(line, caplog.text), 10, f"{line!r} is logged")
    other.step(np.ones(2, int))
    wait_until(lambda: len(host.sessions) == 1, 20, "the session beside is the only one left")
