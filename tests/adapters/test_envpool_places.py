# SPDX-License-Identifier: MIT
"""EnvPool's interface where the envs run in another interpreter or on a host: the same values."""

import sys

import numpy as np
import pytest

import envring.adapters.envpool as envpool
from support.hosts import running
from support.pools import same

CARTPOLE = "CartPole-v1"


@pytest.fixture(scope="module")
def host():
    with running(CARTPOLE) as host:
        yield host


@pytest.fixture(params=["launcher", "host", "host and here"])
def where(request, host):
    if request.param == "launcher":
        return {"launcher": f"prefix:{sys.prefix}", "num_threads": 2}
    return {"remotes": host.url if request.param == "host" else f"1,{host.url}"}


def pools(where, **kwargs):
    """There, and in workers here."""
    there = envpool.make(CARTPOLE, "gymnasium", seed=5, **where, **kwargs)
    try:
        yield there
        here = envpool.make(CARTPOLE, "gymnasium", seed=5, num_threads=2, **kwargs)
        try:
            yield here
        finally:
            here.close()
    finally:
        there.close()


def collected(pool, rounds):
    """What each env gave, by send and recv with actions that follow from its own steps."""
    pool.async_reset()
    given = {i: [] for i in range(len(pool))}
    while min(map(len, given.values())) < rounds:
        observations, rewards, terms, truncs, info = pool.recv()
        env_ids = info["env_id"]
        for row, i in enumerate(env_ids.tolist()):
            step = observations[row], rewards[row], terms[row], truncs[row]
            given[i].append((*step, info["elapsed_step"][row]))
        actions = np.array([(i + len(given[i])) % 3 // 2 for i in env_ids.tolist()])
        pool.send(actions, env_ids)
    return {i: steps[:rounds] for i, steps in given.items()}


def test_send_and_recv(where):
    there, here = [collected(pool, 40) for pool in pools(where, num_envs=4, batch_size=2)]
    for i in there:
        for one, other in zip(there[i], here[i], strict=True):
            assert same(one, other)


def stepped(pool):
    """reset and step, of all and of some."""
    found = [pool.reset()]
    found += [pool.step(np.arange(4) % 2) for _ in range(30)]
    some = np.array([1, 3], np.int32)
    found.append(pool.reset(some))
    found.append(pool.step(np.array([1, 0]), some))
    found.append(pool.reset())
    return found


def test_step_and_reset(where):
    there, here = [stepped(pool) for pool in pools(where, num_envs=4)]
    for one, other in zip(there, here, strict=True):
        assert same(one, other)


def test_says_the_same(host):
    one, other = [
        (len(pool), pool.spec.id, pool.config["num_envs"], str(pool.action_space))
        for pool in pools({"remotes": host.url}, num_envs=4)
    ]
    assert one == other


def test_wrong_ids_change_nothing(host):
    """A refused call leaves what is out as it was."""
    for pool in pools({"remotes": host.url}, num_envs=4):
        pool.async_reset()
        env_ids = pool.recv()[4]["env_id"]
        with pytest.raises((IndexError, ValueError), match="7"):
            pool.send(np.zeros(1, np.int64), np.array([7], np.int32))
        pool.send(np.zeros(4, np.int64), env_ids)
        assert pool.recv()[4]["env_id"].tolist() == [0, 1, 2, 3]
