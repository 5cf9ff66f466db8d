# SPDX-License-Identifier: MIT
"""Envs with hosts of their own: `EnvSource(..., remotes=...)`."""

from __future__ import annotations

import os

import numpy as np
import pytest

import envring
from envring import EnvSource
from envring.pool.remote import RemotePool
from envring.testing import assert_same_batch


@pytest.fixture(scope="module")
def hosts():
    with envring.serve("CartPole-v1") as one, envring.serve("CartPole-v1", num_envs=1) as other:
        yield one.url, other.url


def cart_pole(remotes=None):
    return EnvSource("CartPole-v1", remotes=remotes)


def test_one_env(hosts):
    env = envring.RingEnv(cart_pole(hosts[0]))
    local = envring.make("CartPole-v1")
    np.testing.assert_array_equal(env.reset(seed=3)[0], local.reset(seed=3)[0])
    assert not env._batcher.pool.processes
    env.close()
    local.close()
    env = envring.make(cart_pole(hosts[0]))
    env.reset()
    env.close()


def test_all_envs_on_the_same_hosts(hosts):
    envs = envring.make_vec(cart_pole(",".join(hosts)), 3)
    assert [part.pool.spans for part in envs._batcher.pool.parts] == [[(0, 2)], [(2, 3)]]
    envs.reset(seed=1)
    envs.close()


@pytest.mark.parametrize("first", [0, 2])
def test_some_here_and_some_there(hosts, first):
    one, other = hosts
    sources = [cart_pole()] * first + [cart_pole(one)] * 2 + [cart_pole(other)]
    envs = envring.RingVectorEnv(sources, num_workers=1)
    local = envring.make_vec("CartPole-v1", first + 3)
    assert len(envs.processes) == bool(first)
    pools = [part.pool for part in envs._batcher.pool.parts]
    assert [str(pool.address) for pool in pools if isinstance(pool, RemotePool)] == [one, other]
    assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
    for _ in range(60):
        actions = np.arange(first + 3) % 2
        assert_same_batch(envs.step(actions), local.step(actions))
    envs.close()
    local.close()


def test_files_are_the_hosts(hosts):
    source = EnvSource("/no/such/file.py:make", remotes=hosts[0])
    with pytest.raises(envring.HostRefused, match="not served"):
        envring.RingEnv(source)


@pytest.mark.parametrize(
    ("sources", "remotes", "why"),
    [
        ([cart_pole("tcp://127.0.0.1:9"), cart_pole()], None, "put them first"),
        ([cart_pole("tcp://127.0.0.1:9")], 2, "leave it out for all"),
        ([cart_pole(), cart_pole("2,tcp://127.0.0.1:9")], None, "nothing else"),
        ([cart_pole(), cart_pole("openenv://127.0.0.1:9")], None, "nothing else"),
        ([cart_pole("nonsense")], None, "not an address"),
    ],
)
def test_what_cannot_be(sources, remotes, why):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(envring.LaunchError, match=why):
        envring.RingVectorEnv(sources, remotes=remotes)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(
    "arguments", [{"remotes": 4}, {"remotes": "tcp://h:1", "launcher": "prefix:/x"}], ids=str
)
def test_what_a_source_cannot_say(arguments):
    with pytest.raises(envring.errors.SourceError, match="remotes"):
        EnvSource("CartPole-v1", **arguments)
