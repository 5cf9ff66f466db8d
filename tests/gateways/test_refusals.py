# SPDX-License-Identifier: MIT
"""What a host refuses, and what it makes of malformed requests."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import gymnasium as gym
import numpy as np
import pytest

import envring
from envring import EnvSource, HostRefused, LaunchError, UnsendableError
from envring.gateways.runtimes import Runtime
from envring.transport import codec, frames
from envring.transport.addresses import no_delay
from envring.transport.frames import Link
from support.callers import ask, connect, until
from support.launcher_conformance import FILE
from support.vector_envs import PLAIN

GAME = f"{FILE}:make"


@pytest.fixture(scope="module")
def host():
    with envring.serve(["CartPole-v1", GAME], grace=0.3) as host:
        yield host


def game(**kwargs):
    return EnvSource.elsewhere(GAME, kwargs=kwargs)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "env", ["MountainCar-v0", "os:system", "/etc/passwd:x", f"{FILE}:other", "cartpole-v1"]
    )
    def test_envs_that_are_not_served(self, host, env):
        with pytest.raises(HostRefused, match="is not served here") as caught:
            envring.make_vec(env, 2, remotes=host.url)
        assert caught.value.reason == "env"
        assert not len(host.sessions)

    def test_a_pattern_for_ids_matches_no_module_and_no_file(self):
        anything = Runtime("all", ("*",))
        assert anything.serves("CartPole-v1")
        assert not any(map(anything.serves, ("os:system", "x.py:f", "dir:/tmp", "recipe:atari")))

    def test_vector_envs(self):
        with envring.serve(PLAIN) as host:
            source = EnvSource.elsewhere(PLAIN, kwargs={"count": 2, "mode": "NextStep"})
            with pytest.raises(
                envring.EnvFnError, match="a vector env of 2 envs, where a single env"
            ):
                envring.RingVectorEnv([source] * 2, remotes=host.url)
            deadline = time.monotonic() + 10
            while len(host.sessions) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not len(host.sessions)

    def test_an_unknown_runtime(self, host):
        with pytest.raises(HostRefused, match="'other'.*there are: default"):
            envring.make_vec("CartPole-v1", 2, remotes=f"{host.url}?runtime=other")

    def test_more_envs_than_slots(self):
        with envring.serve("CartPole-v1", num_envs=3) as host:
            envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
            with pytest.raises(HostRefused, match="2 envs need.*has 2 of 3 used") as caught:
                envring.make_vec("CartPole-v1", 2, remotes=host.url)
            assert caught.value.reason == "full"
            envs.close()
            envring.make_vec("CartPole-v1", 3, remotes=host.url).close()

    @pytest.mark.parametrize("shown", [None, "wrong", "", "öther"])
    def test_a_wrong_key(self, shown, tmp_path, monkeypatch):
        with envring.serve("CartPole-v1", keys=["right", "other"]) as host:
            options = ""
            if shown:
                monkeypatch.setenv("KEY", shown)
                options = "?key=env:KEY"
            with pytest.raises(HostRefused, match="key is missing or wrong") as caught:
                envring.make_vec("CartPole-v1", 2, remotes=host.url + options)
            assert caught.value.reason == "key"
            (tmp_path / "key").write_text("other\n")
            envring.make_vec(
                "CartPole-v1", 2, remotes=f"{host.url}?key=file:{tmp_path}/key"
            ).close()

    def test_more_sessions_than_there_may_be(self):
        with envring.serve("CartPole-v1", max_sessions=1) as host:
            envs = envring.make_vec("CartPole-v1", 1, remotes=host.url)
            with pytest.raises(HostRefused, match="All 1 sessions") as caught:
                envring.make_vec("CartPole-v1", 1, remotes=host.url)
            assert caught.value.reason == "full"
            envs.close()
            envring.make_vec("CartPole-v1", 1, remotes=host.url).close()

    def test_addresses_of_others_without_tls(self):
        with pytest.raises(envring.AddressError, match="can be reached by others"):
            envring.serve("CartPole-v1", listen="tcp://0.0.0.0:0")
        envring.serve("CartPole-v1", listen="tcp://0.0.0.0:0", insecure=True).close()

    def test_a_port_in_use(self, host):
        with pytest.raises(envring.AddressError, match="in use"):
            envring.serve("CartPole-v1", listen=host.url)

    def test_nobody_is_there(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            url = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
            began = time.monotonic()
            with pytest.raises(LaunchError, match="cannot be reached"):
                envring.make_vec("CartPole-v1", 2, remotes=url, start_timeout=0.5)
            assert time.monotonic() - began < 10

    def test_another_version(self, host):
        name, port = host.url.removeprefix("tcp://").split(":")
        link = Link(socket.create_connection((name, int(port))), host.url)
        link.send_greeting(time.monotonic() + 5, (7, 9))
        assert link.receive_greeting(time.monotonic() + 5) == (frames.LOWEST, frames.VERSION)
        frame = link.receive(time.monotonic() + 5)
        told = codec.loads(frame.body)
        assert told["reason"] == "version"
        assert "7 to 9" in told["text"]
        link.close()

    def test_a_host_of_another_version(self):
        with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as beside:

            def greet():
                link = Link(server.accept()[0], "a caller")
                link.send_greeting(until(), (7, 9))
                assert link.receive_greeting(until()) == (frames.LOWEST, frames.VERSION)
                link.close()

            greeted = beside.submit(greet)
            url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(HostRefused) as caught:
                envring.make_vec("CartPole-v1", 2, remotes=url)
            greeted.result(20)
        assert caught.value.reason == "version"
        for lowest, highest in ((7, 9), (frames.LOWEST, frames.VERSION)):
            assert f"{lowest} to {highest}" in str(caught.value)

    def test_an_env_that_cannot_be_built(self, host, no_sessions_left):
        with pytest.raises(LaunchError, match="no such argument|unexpected keyword"):
            envring.RingVectorEnv([game(nonsense=1)] * 2, remotes=host.url)

    def test_functions_of_this_process(self, host):
        with pytest.raises(envring.EnvFnError, match="cannot be sent to a host"):
            envring.RingVectorEnv([lambda: gym.make("CartPole-v1")], remotes=host.url)

    @pytest.mark.parametrize(
        "remotes", ["", "0", 1.5, True, "http://x:1", "tcp://x", "tcp://x:1?kex=1", "tcp://a@x:1"]
    )
    def test_remotes_that_mean_nothing(self, remotes):
        with pytest.raises(envring.LauncherError):
            envring.make_vec("CartPole-v1", 2, remotes=remotes)

    def test_a_key_is_never_shown(self, host):
        with pytest.raises(envring.AddressError) as caught:
            envring.make_vec("CartPole-v1", 2, remotes=f"{host.url}?key=SECRET")
        assert "SECRET" not in str(caught.value)


class TestMalformedRequests:
    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (frames.STEP, None),
            (frames.ATTACH, {"obs": ("leaf", 0, "<f4", (4,)), "action": None}),
            (frames.OPEN, {"sources": []}),
            (frames.OPEN, {"sources": [1]}),
            (frames.OPEN, {"sources": [{"env": ["CartPole-v1"]}]}),
            (frames.OPEN, {"sources": [{"env": "CartPole-v1"}], "autoreset_mode": 7}),
            (frames.OPEN, {"sources": [{"env": "CartPole-v1"}], "autoreset_mode": np.ones(2)}),
            (frames.OPEN, {"sources": [{"env": "CartPole-v1"}], "limits": 3}),
            (frames.OPEN, {"sources": [{"env": "CartPole-v1"}], "workers": -1}),
            (frames.RESULT, {}),
            (frames.OPEN, 5),
        ],
    )
    def test_before_there_is_a_session(self, host, no_sessions_left, kind, value):
        link = connect(host.url)
        assert ask(link, frames.HELLO, {"client_id": "c"})[0] == frames.WELCOME
        got, told = ask(link, kind, value)
        assert got == frames.ERROR
        assert told["type"] in ("WireError", "HostRefused")
        link.close()

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (frames.MESSAGE, ("nonsense",)),
            (frames.MESSAGE, ("reset", [], None, None, False)),
            (frames.MESSAGE, ("reset", ["x"], None, None, False)),
            (frames.MESSAGE, ("call", "__reduce__", (), {})),
            (frames.MESSAGE, ("call", "get:__reduce__", (), {})),
            (frames.MESSAGE, ("call", "get_wrapper_attr", ("__dict__",), {})),
            (frames.MESSAGE, ("call", "run:get_wrapper_attr", (), {"name": "__dict__"})),
            (frames.MESSAGE, ("takes", "__init__", "seed")),
            (frames.MESSAGE, ("set_attr", "x", [1, 2])),
            (frames.TEMPLATES, [(1, [("f", "x", 0)])]),
            (frames.TEMPLATES, [(1, [("n", "x", "<U9")])]),
            (frames.TEMPLATES, [(1, [("a", "x", "<f8", (-1,))])]),
            (frames.TEMPLATES, None),
            (frames.TEMPLATES, [(70000, [])]),
            (frames.TEMPLATES, [(1, []), (1, [("f", "x")])]),
            (frames.OPEN, {"sources": [{"env": "CartPole-v1"}]}),
            (frames.ATTACH, {"obs": ("leaf", 0, "<f4", (5,)), "action": None}),
            (frames.STEP, b"too short"),
        ],
    )
    def test_of_a_session(self, host, no_sessions_left, kind, value):
        link = connect(host.url)
        ask(link, frames.HELLO, {"client_id": "c"})
        opened, _ = ask(link, frames.OPEN, {"sources": [{"env": "CartPole-v1"}]})
        assert opened == frames.OPENED
        plans = {"obs": ("leaf", 0, "<f4", (4,)), "action": ("leaf", 0, "<i8", ())}
        assert ask(link, frames.ATTACH, plans)[0] == frames.ATTACHED
        if kind == frames.TEMPLATES:  # is not answered
            link.send(kind, [codec.dumps(value)])
            got = link.receive(time.monotonic() + 20).head.kind
        else:
            got, _ = ask(link, kind, value)
        assert got == frames.ERROR
        link.close()

    @pytest.mark.parametrize(
        "request_it",
        [
            lambda envs: envs.call("__dict__"),
            lambda envs: envs.call("__dict__", indices=[1]),
            lambda envs: envs.get_attr("__dict__"),
            lambda envs: envs.set_attr("__dict__", {}),
        ],
    )
    def test_names_that_lead_out_of_an_env(self, host, no_sessions_left, request_it):
        """They are refused before anything is sent, and the session goes on."""
        envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
        envs.reset(seed=1)
        with pytest.raises(UnsendableError, match=r"'__dict__'.*two underscores.*hosts refuse"):
            request_it(envs)
        assert envs.call("get_wrapper_attr", "gravity") == (9.8, 9.8)
        envs.step(np.ones(2, int))
        envs.close()

    @pytest.mark.parametrize("code", [0, 1])  # the second goes the long way
    def test_two_requests_at_once(self, host, no_sessions_left, code):
        link = connect(host.url)
        ask(link, frames.HELLO, {"client_id": "c"})
        ask(link, frames.OPEN, {"sources": [{"env": "CartPole-v1"}]})
        plans = {"obs": ("leaf", 0, "<f4", (4,)), "action": ("leaf", 0, "<i8", ())}
        ask(link, frames.ATTACH, plans)
        link.send(frames.MESSAGE, [codec.dumps(("reset", [1], None, None, False))], number=1)
        assert link.receive(time.monotonic() + 20).head.kind == frames.RESULT
        body = [code.to_bytes(4, "little"), codec.dumps([0]) if code else bytes(8)]
        step = frames._HEAD.pack(sum(map(len, body)), frames.STEP, 0, 0, 0, 2) + b"".join(body)
        link._sock.sendall(2 * step)
        kinds = [link.receive(time.monotonic() + 20).head.kind for _ in range(2)]
        assert kinds == [frames.RESULT, frames.ERROR]
        link.close()

    @pytest.mark.parametrize("seconds", [0.02, 0.2])  # the second takes longer than the short way
    def test_a_request_while_a_batch_is_under_way(self, seconds):
        env = "envring.testing.faulty:SlowEnv"
        with envring.serve(env) as host:
            link = connect(host.url)
            no_delay(link._sock)
            ask(link, frames.HELLO, {"client_id": "c"})
            ask(link, frames.OPEN, {"sources": [{"env": env}]})
            link.send(frames.STEP, [(2).to_bytes(4, "little")], number=1)  # a reset
            assert link.receive(until()).head.kind == frames.RESULT
            for number in (2, 3):
                link.send(frames.STEP, [bytes(4), np.float64(seconds).tobytes()], number=number)
            kinds = [link.receive(until()).head.kind for _ in range(2)]
            assert kinds == [frames.RESULT, frames.ERROR]
            link.close()

    @pytest.mark.parametrize(
        "data",
        [b"GET / HTTP/1.1\r\n\r\n", b"ENVR", b"\0" * 64, b"ENVR\1\0\1\0" + b"\xff" * 24],
    )
    def test_bytes_that_are_no_frames(self, host, data):
        name, port = host.url.removeprefix("tcp://").split(":")
        with socket.create_connection((name, int(port))) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(10)
            while sock.recv(1 << 16):
                pass

    def test_slow_peers_are_cut_off(self):
        with envring.serve("CartPole-v1", handshake_timeout=0.3) as host:
            name, port = host.url.removeprefix("tcp://").split(":")
            with socket.create_connection((name, int(port))) as sock:
                sock.sendall(b"EN")
                sock.settimeout(10)
                while sock.recv(1 << 16):
                    pass
