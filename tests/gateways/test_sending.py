# SPDX-License-Identifier: MIT
"""send and recv with envs on hosts: each env's own sequence is SyncVectorEnv's."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from functools import partial
from pathlib import Path

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError
from gymnasium.spaces import Box, Dict, Discrete, Graph, Text
from gymnasium.vector import SyncVectorEnv

import envring
import envring.testing
from envring import EnvSource
from envring.gateways.certificates import make
from envring.gateways.runtimes import Runtime
from envring.testing import CountingEnv, GatedEnv, assert_same_batch
from envring.testing.conformance_base import quiet
from envring.transport import frames
from envring.transport.pickling import dumps_by_value
from foreign import home
from foreign.home import Home
from foreign.test_conformance import LOADER
from support.arrivals import LENGTHS, Alone, drive

PLAIN, LOAD = f"{home.FILE}:Plain", f"{LOADER}:load"
FOREIGN = envring.Python(sys.executable)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sending")


@pytest.fixture(scope="module")
def host(folder):
    make(folder, ["127.0.0.1"])
    modules = envring.testing, sys.modules[__name__]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    runtime = Runtime("default", (PLAIN, LOAD, "CartPole-v1"), allow_kwargs=True)
    files = {"cert": folder / "server.pem", "certkey": folder / "server.key"}
    listen = ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", f"unix://{folder}/socket"]
    with envring.serve(runtimes=[runtime], grace=0.3, listen=listen, **files) as host:
        yield host
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def other():
    runtime = Runtime("default", (PLAIN,), allow_kwargs=True)
    with envring.serve(runtimes=[runtime], grace=0.3) as host:
        yield host


pytestmark = pytest.mark.usefixtures("no_sessions_left")


@contextlib.contextmanager
def running(host, sources, **kwargs):
    envs = envring.RingVectorEnv(sources, **{"remotes": host.url, **kwargs})
    try:
        yield envs
    finally:
        with quiet():
            envs.close()


@pytest.fixture
def pickled(tmp_path):
    """Sources of envs that are built by functions."""

    def sources(*fns):
        for index, fn in enumerate(fns):
            Path(tmp_path, str(index)).write_bytes(dumps_by_value(fn)[0])
        paths = [str(Path(tmp_path, str(index))) for index in range(len(fns))]
        return [EnvSource.elsewhere(LOAD, [path]) for path in paths]

    return sources


def plain(**kwargs):
    return EnvSource.elsewhere(PLAIN, kwargs=kwargs)


def remotes(place, host, other, folder):
    tls = f"{host.urls[1]}?ca={folder}/ca.pem"
    places = {
        "one host": {"remotes": host.url},
        "two hosts": {"remotes": f"{host.url},{other.url}"},
        "beside workers": {"remotes": f"2,{host.url}", "launcher": FOREIGN},
        "TLS": {"remotes": tls},
        "a unix socket": {"remotes": host.urls[2], "step_loop": "reference"},
    }
    return places[place]


@pytest.mark.parametrize(
    ("place", "mode", "ending", "infos", "slow"),
    [
        ("one host", "NextStep", "terminated", "steady", 0.0),
        ("one host", "SameStep", "both", "churn", 0.0),
        ("one host", "Disabled", "both", "steady", 0.01),
        ("two hosts", "SameStep", "both", "steady", 0.01),
        ("beside workers", "SameStep", "truncated", "objects", 0.01),
        ("TLS", "SameStep", "both", "churn", 0.0),
        ("a unix socket", "NextStep", "terminated", "churn", 0.01),
    ],
)
def test_each_env_is_as_alone(host, other, folder, place, mode, ending, infos, slow):
    parts = [
        {"index": i, "lengths": lengths, "ending": ending, "infos": infos}
        for i, lengths in enumerate(LENGTHS)
    ]
    alone = Alone([partial(Home, "Plain", **kwargs) for kwargs in parts], mode)
    options = remotes(place, host, other, folder)
    sources = [plain(**kwargs, slow=slow) for kwargs in parts]
    with running(host, sources, autoreset_mode=mode, **options) as envs:
        envs.async_reset(seed=11)
        alone.reset(range(6), range(11, 17), None)
        alone.check(envs.recv(timeout=20))
        drive(envs, alone, 100, 5, timeout=20)
        rest = len(alone.expected)
        if rest:
            alone.check(envs.recv(rest, timeout=20))
        first = envs.reset(seed=1)
        envs.step(np.zeros(6, np.int64))
        envs.async_reset(seed=1)
        again = envs.recv(timeout=20)
        np.testing.assert_array_equal(again[0]["level"], first[0]["level"])
        envs.step(np.zeros(6, np.int64))


def test_beside_local_workers(host):
    """Rows of both are in one segment."""
    sources = [EnvSource("CartPole-v1")] * 4
    with running(host, sources, remotes=f"1,{host.url}", context="spawn") as envs:
        alone = Alone([partial(gym.make, "CartPole-v1")] * 4, "NextStep")
        envs.async_reset(seed=3)
        alone.reset(range(4), range(3, 7), None)
        alone.check(envs.recv(timeout=20))
        random = np.random.default_rng(3)
        drive(envs, alone, 60, 6, lambda: int(random.integers(2)), timeout=20)
        alone.close()


def test_parts_of_envs_on_a_host(host):
    kinds = [{"index": i, "lengths": each, "infos": "churn"} for i, each in enumerate(LENGTHS)]
    with running(host, [plain(**kind) for kind in kinds]) as envs:
        parts = envs.split(2)
        oracles = [
            SyncVectorEnv([partial(Home, "Plain", **kinds[i]) for i in part.env_ids])
            for part in parts
        ]
        for part, oracle in zip(parts, oracles, strict=True):
            assert_same_batch(part.reset(seed=5), oracle.reset(seed=5))
        for _ in range(12):
            for part in parts:
                part.step_async(np.ones(3, np.int64))
            for part, oracle in zip(parts, oracles, strict=True):
                assert_same_batch(part.step_wait(timeout=20), oracle.step(np.ones(3, np.int64)))


class Every(gym.Env):
    """Observations and actions of every kind."""

    action_space = Dict(x=Discrete(5), y=Box(-1, 1, (2,), np.float32))

    def __init__(self):
        self.observation_space = Dict(
            a=Box(-1, 1, (3,), np.float32), t=Text(8), g=Graph(Box(0, 1, (2,)), Discrete(2))
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(1000)))
        return self.observation_space.sample(), {"options": repr(options)}

    def step(self, action):
        reward = float(action["x"]) + float(action["y"].sum())
        return self.observation_space.sample(), reward, False, False, {}


def test_observations_actions_and_options_of_every_kind(host, pickled):
    with running(host, pickled(*[Every] * 4), options_per_env=True) as envs:
        alone = Alone([Every] * 4, "NextStep")
        envs.async_reset(seed=3)
        alone.reset(range(4), range(3, 7), None)
        alone.check(envs.recv(timeout=20))
        random = np.random.default_rng(1)
        for _ in range(10):
            chosen = random.permutation(4)[:2].tolist()
            x, y = random.integers(0, 5, 2), random.uniform(-1, 1, (2, 2)).astype(np.float32)
            envs.send({"x": x, "y": y}, chosen)
            alone.step(chosen, [{"x": x[j : j + 1], "y": y[j : j + 1]} for j in range(2)])
            alone.check(envs.recv(2, timeout=20))
        envs.async_reset([2, 1], options=[{"a": 1}, None])
        assert envs.recv(2, timeout=20)[4]["options"].tolist() == ["None", "{'a': 1}"]
        envs.async_reset([1])
        assert envs.recv(1, timeout=20)[4]["options"].tolist() == ["None"]
        with pytest.raises(envring.UnsendableError, match="Call `reset` for that"):
            envs.async_reset([1], options={"env_id": "CartPole-v1"})


class Picture(gym.Env):
    observation_space = Box(0, 255, (256, 256, 4), np.uint8)
    action_space = Box(0, 255, (256, 256, 4), np.uint8)

    def __init__(self, number):
        self.number = number

    def reset(self, *, seed=None, options=None):
        return np.full((256, 256, 4), self.number, np.uint8), {}

    def step(self, action):
        return action + self.number, 0.0, False, False, {}


def test_both_ends_send_much_at_the_same_time(host, pickled):
    """Neither waits for the other one to read first; and what was handed out never changes."""
    fns = [partial(Picture, i) for i in range(48)]
    with running(host, pickled(*fns)) as envs:
        envs.async_reset()
        observations, *_, infos = envs.recv(24, timeout=20)
        kept = [(observations, observations.copy())]
        latest = np.zeros(48, np.int64)  # action of each env
        for turn in range(4):
            env_ids = infos["env_id"]
            actions = np.full((24, 256, 256, 4), turn, np.uint8)
            envs.send(actions, env_ids)
            latest[env_ids] = turn
            observations, *_, infos = envs.recv(24, timeout=20)
            env_ids = infos["env_id"]
            assert (observations[:, 9, 9, 1] == env_ids + latest[env_ids]).all()
            kept.append((observations, observations.copy()))
        envs.recv(24, timeout=20)
        envs.step(np.full((48, 256, 256, 4), 99, np.uint8))
        for given, before in kept:
            np.testing.assert_array_equal(given, before)


def test_slow_envs_hold_up_nobody(host, pickled, tmp_path):
    gate = str(tmp_path / "gate")
    waiting = partial(GatedEnv, gate=gate, where="step", at=0)
    with running(host, pickled(waiting, CountingEnv, CountingEnv, CountingEnv)) as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(4, np.int64))
        for _ in range(20):
            env_ids = envs.recv(2, timeout=20)[4]["env_id"]
            assert env_ids.tolist() == [2, 3]
            envs.send(np.zeros(2, np.int64), env_ids)
        with pytest.raises(multiprocessing.TimeoutError):
            envs.recv(4, timeout=0.05)
        with pytest.raises(AlreadyPendingCallError, match="env 0,"):
            envs.send(np.zeros(1, np.int64), [0])
        with pytest.raises(AlreadyPendingCallError, match="were sent"):
            envs.step(np.zeros(4, np.int64))
        open(gate, "w").close()
        assert envs.recv(4, timeout=20)[4]["env_id"].tolist() == [0, 1, 2, 3]
        envs.step(np.zeros(4, np.int64))
        assert len(envs.call("render")) == 4


def test_an_exception_takes_nothing_from_the_others(host):
    sources = [plain(index=i, faults={"step": "raise"} if i == 1 else None) for i in range(4)]
    with running(host, sources) as envs:
        envs.reset(seed=0)
        for _ in range(2):
            envs.send(np.zeros(4, np.int64))
            with quiet(), pytest.raises(envring.RemoteEnvError, match="in step of env 1"):
                envs.recv(4, timeout=20)
            assert envs.recv(3, timeout=20)[4]["env_id"].tolist() == [0, 2, 3]
        envs.reset(seed=1)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("os._exit", envring.WorkerDied, "envs 4, 5"),
        ("stop", envring.WorkerTimeout, "did not finish a step"),
    ],
)
def test_what_becomes_of_a_worker_is_told(host, other, fault, error, words):
    sources = [plain(index=i, faults={"step": fault} if i == 5 else None) for i in range(6)]
    where = f"{other.url},{host.url}"
    with running(host, sources, remotes=where, step_timeout=1.5) as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(6, np.int64))
        with pytest.raises(error, match=words):
            envs.recv(6, timeout=20)
        with pytest.raises(error):
            envs.recv(1, timeout=20)


def test_a_host_that_is_lost(other):
    sources = [plain(index=i, faults={"step": "stop"} if i > 1 else None) for i in range(4)]
    runtime = Runtime("default", (PLAIN,), allow_kwargs=True)
    with (
        envring.serve(runtimes=[runtime]) as lost,
        running(lost, sources, remotes=f"{other.url},{lost.url}") as envs,
    ):
        envs.reset(seed=0)
        envs.send(np.zeros(4, np.int64))
        assert envs.recv(2, timeout=20)[4]["env_id"].tolist() == [0, 1]
        lost.close()
        with pytest.raises(envring.HostLost) as caught:
            envs.recv(2, timeout=20)
        assert caught.value.env_ids == (2, 3)


def test_close_with_envs_that_are_out(host):
    envs = envring.RingVectorEnv([plain(index=i) for i in range(4)], remotes=host.url)
    envs.async_reset(seed=1)
    envs.recv(1, timeout=20)
    envs.close()
    assert not len(host.sessions)


def test_a_host_shows_life_while_envs_take_long(host, pickled, tmp_path):
    gate = str(tmp_path / "gate")
    waiting = partial(GatedEnv, gate=gate, where="step", at=0)
    with running(host, pickled(waiting), remotes=f"{host.url}?heartbeat=1.2") as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(1, np.int64))
        with pytest.raises(multiprocessing.TimeoutError):
            envs.recv(1, timeout=1.5)
        open(gate, "w").close()
        envs.recv(1, timeout=20)
        conversation = envs._batcher.pool._host
        conversation.sent = conversation.link.heard = time.monotonic() - 100  # it owes nothing
        envs.send(np.zeros(1, np.int64))
        envs.recv(1, timeout=20)


def test_an_older_host(host, monkeypatch):
    monkeypatch.setattr(frames, "SEND", "something else")
    with running(host, [plain()]) as envs:
        monkeypatch.setattr(frames, "SEND", "send")
        envs._batcher.pool._host.takes_some = False
        envs.reset(seed=0)
        with pytest.raises(envring.EnvringError, match="an older envring without `send`"):
            envs.send(np.zeros(1, np.int64))
        envs.step(np.zeros(1, np.int64))
