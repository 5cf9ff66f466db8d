# SPDX-License-Identifier: MIT
"""Hosts behind a network that is slow, splits what it carries, stalls, and fails."""

from __future__ import annotations

import time

import numpy as np
import pytest

import envring
from envring import EnvringError, EnvSource, HostLost
from envring.testing import assert_same_batch
from support.launcher_conformance import FILE
from support.proxy import Proxy

GAME = f"{FILE}:make"


pytestmark = pytest.mark.usefixtures("no_sessions_left")


@pytest.fixture(scope="module")
def host():
    with envring.serve(["CartPole-v1", GAME], grace=0.3) as host:
        yield host


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_values_of_split_frames(host, mode):
    """Frames in pieces of 1 to 7 bytes, and infos, final observations and calls with them."""
    local = envring.RingVectorEnv([EnvSource(GAME)] * 3, autoreset_mode=mode)  # before threads run
    with Proxy(host.url, split=7, seed=3) as proxy:
        envs = envring.RingVectorEnv(
            [EnvSource.elsewhere(GAME)] * 3, remotes=proxy.url, autoreset_mode=mode
        )
        assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
        for step in range(16):
            actions = np.array([step % 5, 1, 2])
            assert_same_batch(envs.step(actions), local.step(actions))
        assert envs.call("variable", "HOME") == local.call("variable", "HOME")
        envs.close()
        local.close()


def test_a_slow_network_is_not_a_silent_host(host):
    with Proxy(host.url, delay=0.15) as proxy:
        envs = envring.make_vec("CartPole-v1", 2, remotes=f"{proxy.url}?heartbeat=1.0")
        envs.reset()
        began = time.monotonic()
        for _ in range(3):
            envs.step(np.ones(2, int))
        assert time.monotonic() - began > 0.8
        envs.close()


def test_two_slow_hosts_are_slow_at_the_same_time(host):
    with Proxy(host.url, delay=0.1) as proxy, Proxy(host.url, delay=0.1) as other:
        envs = envring.make_vec("CartPole-v1", 4, remotes=f"{proxy.url},{other.url}")
        envs.reset()
        took = []
        for _ in range(20):  # one after the other they would take 0.4 s
            began = time.monotonic()
            envs.step(np.ones(4, int))
            took.append(time.monotonic() - began)
            if len(took) >= 3 and min(took) < 0.35:
                break
        assert 0.2 <= min(took) < 0.35
        envs.close()


def test_one_that_stalls_is_noticed_within_the_bound(host):
    with Proxy(host.url) as proxy:
        envs = envring.make_vec("CartPole-v1", 2, remotes=f"{proxy.url}?heartbeat=1.0")
        envs.reset()
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(HostLost, match="silent for 1 seconds"):
            envs.step(np.ones(2, int))
        assert 0.9 < time.monotonic() - began < 10
        envs.close()


@pytest.mark.parametrize("seed", range(8))
def test_one_that_fails_at_any_byte(host, seed):
    """Whatever was under way: HostLost of these envs once they were there, else a LaunchError."""
    rng = np.random.default_rng(seed)
    with Proxy(host.url, split=50, seed=seed) as proxy:
        proxy.cut_after(int(rng.integers(1, 4000)))
        remotes = f"{proxy.url}?heartbeat=5"
        envs = []
        with pytest.raises(EnvringError) as caught:
            play(remotes, envs)
        for each in envs:
            each.close()
        assert proxy.url in str(caught.value)
        if envs:
            assert isinstance(caught.value, HostLost)
            assert caught.value.env_ids == (0, 1)


def play(remotes, envs):
    envs.append(envring.make_vec("CartPole-v1", 2, remotes=remotes, start_timeout=5))
    envs[0].reset()
    for _ in range(200):
        envs[0].step(np.ones(2, int))
