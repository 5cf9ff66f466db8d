# SPDX-License-Identifier: MIT
"""The end of envs on a host: as that of forked local workers, by `close`, and by leaving."""

from __future__ import annotations

import multiprocessing
import re
import threading
import time

import numpy as np
import pytest

import envring
from envring import EnvSource
from envring.errors import CodecError, WireError
from envring.gateways.guests import Guests
from envring.pool import remote_closing
from envring.pool.dialling import dial
from envring.pool.ending import Closing
from envring.testing.conformance_base import quiet
from envring.transport import codec, frames
from envring.transport.addresses import parse
from support import closing_envs
from support.processes import alive, assert_gone, read_pid, wait_until
from support.proxy import Proxy

ENV = f"{closing_envs.__file__}:Odd"


@pytest.fixture(scope="module")
def host():
    with envring.serve(ENV) as host:
        yield host


def made(kinds, remotes=None, **arguments):
    """One worker for each env; `kinds` are keyword arguments of each."""
    sources = [EnvSource.elsewhere(ENV, kwargs=kwargs) for kwargs in kinds]
    if remotes is None:
        fns = [lambda kwargs=kwargs: closing_envs.Odd(**kwargs) for kwargs in kinds]
        return envring.RingVectorEnv(fns, num_workers=len(kinds), **arguments)
    return envring.RingVectorEnv(sources, num_workers=len(kinds), remotes=remotes, **arguments)


def told(caught):
    """What the warnings of RingVectorEnv.close say, without what differs from run to run."""
    found = []
    for each in caught:
        text = re.sub(r"pid \d+( on [^)]*)?", "pid N", str(each.message))
        found.append((each.category, re.sub(r"Traceback.*\n(\w)", r"\1", text, flags=re.DOTALL)))
    return found


CASES = {
    # name: what the second env does, what is called before, arguments of close
    "close hangs": (("close", "hangs"), None, {"timeout": 1}),
    "no time at all": (("close", "hangs"), None, {"timeout": 0}),
    "close raises": (("close", "raises"), None, {}),
    "close is slow": (("close", "slow"), None, {"timeout": 20}),
    "a step hangs": (("step", "hangs"), "step_async", {"timeout": 1}),
    "a step hangs, at once": (("step", "hangs"), "step_async", {"terminate": True}),
    "an env that was sent hangs": (("step", "hangs"), "send", {"timeout": 1}),
}


class TestClose:
    """`close(timeout=...)` of envs on a host is that of forked local workers."""

    def end(self, case, announced, **arguments):
        (where, how), call, given = CASES[case]
        kinds = [{}, {"where": where, "how": how, "announce": str(announced)}]
        envs = made(kinds, **arguments)
        envs.reset()
        if call is not None:
            getattr(envs, call)(np.zeros(2, int))
            read_pid(announced)
        began = time.monotonic()
        with quiet() as caught:
            envs.close(**given)
        seconds = time.monotonic() - began
        if announced.exists():  # who has no time at all may not get so far
            assert not alive(read_pid(announced))
        return told(caught), seconds

    @pytest.mark.parametrize("case", CASES)
    def test_as_of_local_workers(self, host, no_sessions_left, case, tmp_path):
        local, its_seconds = self.end(case, tmp_path / "local")
        ours, seconds = self.end(case, tmp_path / "remote", remotes=host.url)
        if " 0 seconds" in str(local):  # whether an env without trouble is in time is chance
            ours, local = ([(kind, text[-99:]) for kind, text in each] for each in (ours, local))
        assert ours == local
        assert seconds < its_seconds + 4

    def test_the_warning_says_on_which_host(self, host, tmp_path):
        announced = tmp_path / "it"
        envs = made([{"where": "close", "how": "hangs", "announce": str(announced)}], host.url)
        with quiet() as caught:
            envs.close(timeout=0.5)
        (warning,) = caught
        assert f"the worker of env 0 (pid {read_pid(announced)} on {host.url})" in str(
            warning.message
        )

    def test_several_hosts_close_at_the_same_time(self, host, tmp_path):
        kinds = [
            {"where": "close", "how": "hangs", "announce": str(tmp_path / f"env {i}")}
            for i in range(3)
        ]
        with envring.serve(ENV) as other:
            envs = made(kinds, f"1,{host.url},{other.url}")
            envs.reset()
            began = time.monotonic()
            with quiet() as caught:
                envs.close(timeout=2)
            assert time.monotonic() - began < 5.5  # one after the other they would take 6
            text = "\n".join(str(each.message) for each in caught)
            for i in range(3):
                assert f"the worker of env {i} (pid {read_pid(tmp_path / f'env {i}')}" in text
                assert_gone(read_pid(tmp_path / f"env {i}"), 5)
            assert f"on {host.url}" in text and f"on {other.url}" in text

    def test_a_close_that_takes_longer_than_the_heartbeat(self, host):
        envs = made([{"where": "close", "how": "slow"}], f"{host.url}?heartbeat=0.8")
        envs.reset()
        with quiet() as caught:
            envs.close()
        assert caught == []

    def test_one_that_is_not_a_vector_env(self, host, tmp_path, monkeypatch):
        monkeypatch.setattr("envring.pool.ending.CLOSE_SECONDS", 1.0)
        announced = tmp_path / "it"
        kwargs = {"where": "close", "how": "hangs", "announce": str(announced)}
        env = envring.RingEnv(EnvSource.elsewhere(ENV, kwargs=kwargs), remotes=host.url)
        env.reset()
        with quiet() as caught:
            env.close()
        assert "close() had to kill the worker of env 0" in str(caught[0].message)
        assert_gone(read_pid(announced), 5)

    def test_a_host_that_does_not_answer(self):
        with envring.serve(ENV) as host, Proxy(host.url) as proxy:
            envs = made([{}], f"{proxy.url}?heartbeat=1.0")
            envs.reset()
            proxy.stall()
            began = time.monotonic()
            with quiet() as caught:
                envs.close()
            assert time.monotonic() - began < 15
            assert "did not say in time that env 0 were closed" in str(caught[0].message)
            assert caught[0].category is RuntimeWarning

    def test_a_host_that_is_gone(self):
        with envring.serve(ENV) as host:
            envs = made([{}], host.url)
            envs.reset()
        with quiet() as caught:
            envs.close()
        assert caught == []


class TestConstructors:
    """Nobody waits for an env that is being built and that nobody wants any more."""

    def building(self, host, announced):
        """A connection that has asked for an env whose constructor hangs."""
        kwargs = {"where": "init", "how": "hangs", "announce": str(announced)}
        (dialled,) = dial([parse(host.url)], 5)
        asked = {"sources": [{"env": ENV, "kwargs": kwargs}]}
        dialled.link.send(frames.OPEN, [codec.dumps(asked)])
        return dialled.link, read_pid(announced)

    def test_the_caller_leaves(self, host, no_sessions_left, tmp_path):
        link, pid = self.building(host, tmp_path / "it")
        link.close()
        wait_until(lambda: not len(host.sessions), 20, "its slot is free")
        assert_gone(pid, 5)

    @pytest.mark.parametrize("asks", [True, False])
    def test_the_caller_closes_it(self, host, asks, tmp_path):
        link, pid = self.building(host, tmp_path / "it")
        link.send(frames.CLOSE, [remote_closing.wish(1.0, False)] if asks else [])
        assert link.receive(time.monotonic() + 15).head.kind == frames.CLOSED
        assert_gone(pid, 5)
        link.close()

    def test_the_host_closes(self, tmp_path):
        with envring.serve(ENV) as host:
            link, pid = self.building(host, tmp_path / "it")
            began = time.monotonic()
        assert time.monotonic() - began < 15
        error = codec.loads(link.receive(time.monotonic() + 5).body)
        assert (error["type"], error["text"]) == ("HostLost", "the host was ended")
        assert_gone(pid, 5)
        link.close()

    def test_the_host_closes_while_a_caller_of_another_wire_waits(self, tmp_path):
        announced = tmp_path / "it"
        kwargs = {"where": "init", "how": "hangs", "announce": str(announced)}
        errors = []

        def ask():
            try:
                Guests(host).open("peer", None, ENV, kwargs, wire="test")
            except envring.HostLost as error:
                errors.append(error.why)

        with envring.serve(ENV) as host:
            thread = threading.Thread(target=ask)
            thread.start()
            pid = read_pid(announced)
        thread.join(15)
        assert errors == ["the host was ended"]
        assert_gone(pid, 5)

    def test_envs_that_take_the_place_of_others(self, host, no_sessions_left, tmp_path):
        """`close` does not wait for them."""
        announced = tmp_path / "it"
        kwargs = {"where": "second", "how": "hangs", "announce": str(announced)}
        envs = made([kwargs], host.url, on_worker_death="restart")
        envs.reset()
        envs.step_async(np.zeros(1, int))
        with quiet(), pytest.raises(multiprocessing.TimeoutError):
            envs.step_wait(timeout=1)
        pid = read_pid(announced)
        began = time.monotonic()
        with quiet():
            envs.close(timeout=0.5)
        assert time.monotonic() - began < 15
        assert_gone(pid, 10)


class TestBytes:
    def test_what_is_said_of_the_end(self):
        closing = Closing("1 seconds", [([1, 2], 77)], [(0, "text", "trace")])
        body = codec.dumps(remote_closing.told(closing))
        assert remote_closing.read_told(body, range(10, 13)) == Closing(
            "1 seconds", [([11, 12], 77)], [(10, "text", "trace")]
        )

    @pytest.mark.parametrize(
        "value",
        [
            True,
            None,
            {},
            {"waited": "1 s", "killed": [], "raised": [(0, "text")]},
            {"waited": "1 s", "killed": [([], 1)], "raised": []},
            {"waited": "1 s", "killed": [([0], -1)], "raised": []},
            {"waited": "1 s", "killed": [([0], 1 << 99)], "raised": []},
            {"waited": "1 s", "killed": [([3], 1)], "raised": []},
            {"waited": "1 s", "killed": [([True], 1)], "raised": []},
            {"waited": "1 s", "killed": [([0], 1)] * 4, "raised": []},
            {"waited": 1, "killed": [], "raised": []},
            np.zeros(3),
        ],
        ids=repr,
    )
    def test_a_host_that_does_not_say(self, value):
        """Older ones say True."""
        assert remote_closing.read_told(codec.dumps(value), range(3)) is None

    def test_bytes_that_are_no_value(self):
        assert remote_closing.read_told(b"\xff", range(3)) is None
        with pytest.raises(CodecError):
            remote_closing.read_wish(b"\xff")

    @pytest.mark.parametrize(
        "value",
        [
            None,
            1.0,
            {"terminate": True},
            {"timeout": -1.0, "terminate": False},
            {"timeout": float("nan"), "terminate": False},
            {"timeout": "1", "terminate": False},
            {"timeout": 1.0, "terminate": None},
        ],
        ids=repr,
    )
    def test_what_cannot_be_asked_for(self, host, no_sessions_left, value):
        (dialled,) = dial([parse(host.url)], 5)
        link = dialled.link
        with pytest.raises(WireError):
            remote_closing.read_wish(codec.dumps(value))
        link.send(frames.CLOSE, [codec.dumps(value)])
        frame = link.receive(time.monotonic() + 5)
        assert frame.head.kind == frames.ERROR
        assert codec.loads(frame.body)["type"] == "WireError"
        link.close()

    def test_what_asks_for_nothing(self):
        for body in (b"", codec.dumps({}), codec.dumps({"other": 1})):
            assert remote_closing.read_wish(body) == (None, False)
        assert remote_closing.read_wish(codec.dumps({"timeout": 1})) == (1.0, False)

    def test_a_long_time_is_bounded(self):
        for seconds in (1e12, float("inf"), 1 << 2000):
            body = codec.dumps({"timeout": seconds, "terminate": False})
            assert remote_closing.read_wish(body) == (3600.0, False)
