# SPDX-License-Identifier: MIT
"""`remotes="grpc://..."`: an env that asks a server of dm_env_rpc, ours and others."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text

import envring
from envring.callers.specs import Part, guessed, space_of
from envring.errors import (
    AddressError,
    HostLost,
    HostRefused,
    LaunchError,
    RemoteEnvError,
    SourceError,
    SpaceDataError,
    WireError,
)
from envring.gateways.certificates import make
from envring.gateways.dm_env_rpc.tensors import BOOL, CODES, STRING, Spec
from envring.testing import fingerprint
from envring.testing.conformance_base import quiet
from support.hosts import running, running_setup
from support.peers import python_of, server
from support.wire_envs import every_space, local_env

SUPPORT = Path(__file__).parents[1] / "support"
REFUSED = ["sequence", "sequence_stacked", "graph", "one_of", "custom", "mixed"]
COUNTING = "Counting-v0"


@pytest.fixture(scope="module")
def host():
    first = [COUNTING, "envring.testing:CountingEnv"]
    with running_setup("grpc://127.0.0.1:0", first=first) as host:
        yield host


@pytest.fixture(scope="module")
def strange():
    """A server that breaks the rules as the env's name says."""
    with server("strange_grpc_server.py") as port:
        yield f"grpc://127.0.0.1:{port}"


class TestOurHost:
    def test_every_space(self, host):
        local = local_env(REFUSED)
        env = envring.make("EverySpace-v0", remotes=host.url, without=REFUSED)
        assert env.observation_space == local.observation_space
        assert env.action_space == local.action_space
        for seed in (0, None):
            found, expected = (each.reset(seed=seed) for each in (env, local))
            assert fingerprint(found[0]) == fingerprint(expected[0])
            for _ in range(2):
                action = local.action_space.sample()
                found, expected = env.step(action), local.step(action)
                assert fingerprint(found[0]) == fingerprint(expected[0])
                assert found[1:4] == expected[1:4]
        assert found[2:4] == (False, True)
        env.close()
        local.close()

    def test_an_episode(self, host):
        env = envring.make(COUNTING, remotes=host.url)
        obs, info = env.reset(seed=0, options={"level": np.int64(3)})
        assert obs.tolist() == [0, 1, 0, -1]
        assert info == {"round": 1, "seed": 0, "options": {"level": 3}}
        assert env.step(1)[1:] == (0.125, False, False, {"t": 1})
        assert env.reset()[1]["round"] == 2  # in mid episode
        for _ in range(3):
            last = env.step(0)
        assert last[1:4] == (0.375, False, True)
        with quiet(), pytest.raises(RemoteEnvError, match="call reset first"):
            env.step(0)
        assert env.render_mode is None and env.render() is None
        env.close()

    def test_a_picture_with_each_step(self, host):
        env = envring.make(
            "envring.testing:CountingEnv", remotes=host.url, render_mode="rgb_array", index=4
        )
        env.reset()
        frame = env.render()
        assert env.render_mode == "rgb_array" and frame.dtype == np.uint8 and (frame == 4).all()
        env.close()

    def test_an_error_of_the_env_leaves_the_session(self, host):
        env = envring.make("Failing-v0", remotes=host.url)
        for _ in range(2):
            env.reset()
            with quiet(), pytest.raises(RemoteEnvError, match="KeyError: 'broken'"):
                env.step(0)
        env.close()

    def test_several(self, host):
        with contextlib.closing(
            envring.make_vec("CartPole-v1", 3, remotes=f"{host.url},{host.url}", num_workers=2)
        ) as envs:
            local = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync")
            np.testing.assert_array_equal(envs.reset(seed=5)[0], local.reset(seed=5)[0])
            for _ in range(40):
                action = local.action_space.sample()
                for found, expected in zip(envs.step(action)[:4], local.step(action), strict=False):
                    np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize(
        ("env", "kwargs", "error", "text"),
        [
            ("os:system", {}, HostRefused, "os:system"),
            ("Broken-v0", {}, LaunchError, "it cannot be built"),
            ("Custom-v0", {}, LaunchError, "cannot be described"),
            (COUNTING, {"env_args": [1]}, SourceError, "keyword arguments"),
        ],
    )
    def test_what_is_refused(self, host, env, kwargs, error, text):
        with pytest.raises(error, match=text):
            envring.make(env, remotes=host.url, **kwargs)

    def test_a_host_that_is_killed(self):
        with running("CartPole-v1", "--listen", "grpc://127.0.0.1:0") as host:
            env = envring.make("", remotes=host.url)
            env.reset()
            host.process.kill()
            host.process.wait()
            began = time.monotonic()
            with quiet(), pytest.raises(HostLost, match=host.url):
                env.step(0)
            assert time.monotonic() - began < 20
            env.close()

    def test_a_session_has_ended_when_close_returns(self):
        with running(
            "CartPole-v1", "--listen", "grpc://127.0.0.1:0", "--max-sessions", "1"
        ) as host:
            for _ in range(3):
                with contextlib.closing(envring.make("", remotes=host.url)) as env:
                    env.reset()

    def test_tls_keys_and_their_lack(self, tmp_path, monkeypatch):
        make(tmp_path, ("localhost", "127.0.0.1"))
        monkeypatch.setenv("ENVRING_TEST_KEY", "secret")
        files = [
            f"--{name}={tmp_path}/{file}"
            for name, file in (
                ("cert", "server.pem"),
                ("certkey", "server.key"),
                ("client-ca", "ca.pem"),
            )
        ]
        (tmp_path / "key").write_text("secret\n")
        options = ["--listen", "grpcs://127.0.0.1:0", *files, "--key", f"file:{tmp_path}/key"]
        with running("CartPole-v1", *options) as host:
            ca = f"{host.url}?ca={tmp_path}/ca.pem"
            mutual = f"{ca}&cert={tmp_path}/client.pem&certkey={tmp_path}/client.key"
            env = envring.make("CartPole-v1", remotes=f"{mutual}&key=env:ENVRING_TEST_KEY")
            env.reset()
            env.close()
            with pytest.raises(HostRefused, match="key"):
                envring.make("CartPole-v1", remotes=mutual)
            with pytest.raises(LaunchError, match="grpcs"):
                envring.make("CartPole-v1", remotes=f"{host.url}?timeout=1")
            with pytest.raises(AddressError, match="cannot be read"):
                envring.make("CartPole-v1", remotes=f"{host.url}?ca=/none")


def patient(url, env):
    """An address with a short time limit where that is what is waited for."""
    return f"{url}?timeout=2" if env.startswith("silent") else url


class TestStrangeServers:
    def test_an_honest_one_for_comparison(self, strange):
        with quiet():  # of seeds; the worker has the filters of now
            env = envring.make("honest", remotes=strange)
        assert env.observation_space == Box(-np.inf, np.inf, (2,))
        assert env.action_space == Box(-128, 127, (), np.int8)
        assert env.reset(seed=1)[0].tolist() == [0, 0]
        assert env.step(np.int8(-1))[1:] == (0.0, False, False, {})
        env.close()

    @pytest.mark.parametrize(
        ("env", "error"),
        [
            ("silent", LaunchError),
            ("silent-join", LaunchError),
            ("garbage", WireError),
            ("empty", WireError),
            ("other", WireError),
            ("varint", WireError),
            ("endless", WireError),
            ("huge", SpaceDataError),
            ("twice", SpaceDataError),
            ("protos", SpaceDataError),
            ("spaces", SpaceDataError),
            ("long", LaunchError),
            ("ends", LaunchError),
        ],
    )
    def test_at_first(self, strange, env, error):
        began = time.monotonic()
        with pytest.raises(error) as caught:
            envring.make(env, remotes=patient(strange, env))
        assert time.monotonic() - began < 20
        if env == "silent":
            assert "use_thread=True" in str(caught.value)

    @pytest.mark.parametrize(
        ("env_id", "error"),
        [
            ("silent-step", HostLost),
            ("stateless", WireError),
            ("lacking", WireError),
            ("misfit", WireError),
        ],
    )
    def test_later(self, strange, env_id, error):
        env = envring.make(env_id, remotes=patient(strange, env_id))
        began = time.monotonic()
        if env_id == "silent-step":
            env.reset()
        with quiet(), pytest.raises(error):
            env.step(np.int8(0)) if env_id == "silent-step" else env.reset()
        with quiet(), pytest.raises((HostLost, RemoteEnvError)):
            env.step(np.int8(0))
        env.close()
        assert time.monotonic() - began < 20

    def test_a_process_that_ends(self):
        with server("strange_grpc_server.py") as port:
            env = envring.make("dies", remotes=f"grpc://127.0.0.1:{port}")
            env.reset()
            with quiet(), pytest.raises(HostLost):
                env.step(np.int8(0))
            env.close()

    @pytest.mark.parametrize("scheme", ["grpc", "openenv"])
    def test_what_is_not_a_server(self, scheme):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            began = time.monotonic()
            with pytest.raises(LaunchError, match=str(port)):
                envring.make("CartPole-v1", remotes=f"{scheme}://127.0.0.1:{port}?timeout=1")
        with pytest.raises(LaunchError, match=r"(?i)refused"):
            envring.make("CartPole-v1", remotes=f"{scheme}://127.0.0.1:{port}?timeout=1")
        assert time.monotonic() - began < 10


class TestAddresses:
    @pytest.mark.parametrize(
        "remotes", ["2,grpc://h:1", "grpc://h:1,tcp://h:2", "openenv://h:1,unix:///s"]
    )
    def test_other_wires_are_not_mixed_with_ours(self, remotes):
        with pytest.raises(AddressError, match="one of its own"):
            envring.make_vec("CartPole-v1", 2, remotes=remotes)

    @pytest.mark.parametrize(
        "remotes",
        ["grpc://h:1?timeout=x", "grpc://h:1?ca=f", "openenv://h:1?timeout=0", "http://h:1"],
    )
    def test_options(self, remotes):
        with pytest.raises(AddressError):
            envring.make("CartPole-v1", remotes=remotes)

    def test_functions_cannot_be_sent(self):
        with pytest.raises(envring.EnvFnError, match="EnvSource"):
            envring.RingVectorEnv([every_space], remotes="grpc://127.0.0.1:1")


class TestSpecs:
    @pytest.mark.parametrize(
        ("spec", "space"),
        [
            (Spec("a", 5, (), np.array(-2), np.array(4)), Discrete(7, start=-2)),
            (Spec("a", 3), Box(-128, 127, (), np.int8)),
            (
                Spec("a", 4, (2,), np.zeros(2, "i4"), np.array([1, 2], "i4")),
                MultiDiscrete([2, 3], np.int32),
            ),
            (Spec("a", 6, (2, 2)), Box(0, 255, (2, 2), np.uint8)),
            (Spec("a", 2, (3,)), Box(-np.inf, np.inf, (3,), np.float64)),
            (Spec("a", 5, (1,), np.array([0]), np.array([2**62])), Box(0, 2**62, (1,), np.int64)),
            (Spec("a", BOOL, (2,)), Box(0, 1, (2,), np.bool_)),
        ],
    )
    def test_spaces_of_servers_that_say_only_specs(self, spec, space):
        assert space_of(spec) == space

    def test_several_tensors_are_a_dict(self):
        side = guessed({7: Spec("b.c", 1, (2,)), 3: Spec("a", STRING)})
        assert isinstance(side.space, Dict) and isinstance(side.space["a"], Text)
        assert side.join(["x", 1]) == {"a": "x", "b.c": 1}
        assert side.split({"b.c": 1, "a": "x"}) == ["x", 1]

    def test_texts_in_arrays_are_refused(self):
        with pytest.raises(SpaceDataError):
            space_of(Spec("a", STRING, (2,)))

    def test_actions_have_the_dtype_of_the_spec(self):
        part = Part(1, Spec("a", CODES[np.dtype("int8")], ()), Discrete(3))
        assert part.dumps(np.int64(1)).hex() == "0a09080112051a030a0101"
        with pytest.raises(WireError, match="shape"):
            part.dumps(np.zeros(2))


@contextlib.contextmanager
def played(url, env="", **kwargs):
    """An env there, closed at the end."""
    with quiet():  # of seeds; the worker has the filters of now
        made = envring.make(env, remotes=url, **kwargs)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.wide
class TestOtherServers:
    @pytest.mark.parametrize("safe", [False, True])
    def test_remote_gym(self, safe, tmp_path):
        files = ()
        if safe:
            make(tmp_path, ("localhost", "127.0.0.1"))
            files = [str(tmp_path / name) for name in ("server.pem", "server.key", "ca.pem")]
        arguments = ("remote_gym_entrypoint.py", *files)
        with server("remote_gym_server.py", *arguments, python=python_of("remote-gym")) as port:
            url = f"grpc://127.0.0.1:{port}"
            if safe:
                url = f"grpcs://127.0.0.1:{port}?ca={tmp_path}/ca.pem&cert={tmp_path}/client.pem"
                url += f"&certkey={tmp_path}/client.key"
            with played(url, "any", level=2, render_mode="rgb_array") as env:
                assert env.observation_space == Box(-1, 255, (4,), np.float32)
                assert env.action_space == MultiDiscrete([3, 5])
                assert env.reset(seed=0)[0].tolist() == [0, 2, 0, 0]
                obs, reward, *_ = env.step(np.array([2, 4]))
                assert (obs.tolist(), reward) == ([1, 2, 2, 4], 0.25)
                assert (env.render() == 1).all() and env.render().shape == (2, 3, 3)
                assert env.step(np.array([0, 0]))[2:4] == (True, False)  # all that it says
                assert env.reset()[0].tolist() == [0, 2, 0, 0]
            envs = envring.make_vec("any", 3, remotes=url, level=1)
            envs.reset()
            assert envs.step(np.array([[0, 1], [1, 2], [2, 3]]))[0].tolist() == [
                [1, 1, 0, 1],
                [1, 1, 1, 2],
                [1, 1, 2, 3],
            ]
            envs.close()

    def test_a_server_as_deepmind_writes_them(self):
        with (
            server("catch_server.py", python=python_of("dm-env-rpc")) as port,
            played(f"grpc://127.0.0.1:{port}", "catch") as env,
        ):
            assert env.observation_space == Box(-np.inf, np.inf, (10, 10))
            for _ in range(2):
                obs, _ = env.reset()
                assert obs.shape == (10, 10) and obs[0, 4] == obs[9, 5] == 1
                results = [env.step(np.int8(-(n == 0))) for n in range(9)]
                assert [each[1:4] for each in results] == [(0, False, False)] * 8 + [
                    (1, True, False)
                ]
            env.reset()
            with quiet(), pytest.raises(RemoteEnvError, match="not that fast"):
                env.step(np.int8(9))
