# SPDX-License-Identifier: MIT
"""Ctrl-C in a call of EnvPool's interface, and what goes on afterwards."""

import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError

import envring.adapters.envpool as envpool
from envring.testing import CountingEnv, GatedEnv
from support.interrupts import interrupted
from support.pools import with_pool
from support.restarts import Once

SOME = np.array([2, 0])  # the first envs of both workers, one of which is gated
WHICH = {"all": (np.arange(4), None), "some": (SOME, SOME)}


def gated(gate, where, batch_size=4, at=0):
    once = Once(f"{gate}.made", lambda: GatedEnv(str(gate), where, at, lengths=(50,)))
    return envpool.make(once, "gymnasium", num_envs=4, batch_size=batch_size, num_threads=2)


def assert_begun(observations, infos):
    assert (observations[:, 2:] == [0, -1]).all()
    assert not infos["elapsed_step"].any()


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("where", ["step", "reset"])
def test_the_next_reset_just_works(where, which, tmp_path):
    """As in the next cell of a notebook; what was interrupted is forgotten."""
    gate = tmp_path / "gate"
    pool = gated(gate, where)
    rows, env_ids = WHICH[which]
    if where == "step":
        pool.reset()
    with interrupted(gate):
        pool.step(np.full(len(rows), 3), env_ids) if where == "step" else pool.reset(env_ids)
    for _ in range(2):
        assert_begun(*pool.reset())
        observations, _, _, _, infos = pool.step(np.full(4, 5))
        assert (observations[:, 2:] == [1, 5]).all()
        assert infos["elapsed_step"].tolist() == [1] * 4
    pool.close()


@pytest.mark.parametrize("which", WHICH)
def test_an_interrupted_step_may_be_received(which, tmp_path):
    """A further step says so; no result is lost, none comes twice."""
    gate = tmp_path / "gate"
    pool = gated(gate, "step")
    rows, env_ids = WHICH[which]
    pool.reset()
    with interrupted(gate):
        pool.step(np.full(len(rows), 3), env_ids)
    for again in (env_ids, SOME, None):
        with pytest.raises(AlreadyPendingCallError, match="Receive them first"):
            pool.step(np.full(4 if again is None else 2, 4), again)
    observations, _, _, _, infos = pool.recv()
    assert observations[:, 2:].tolist() == [[1, 3]] * len(rows)
    assert infos["env_id"].tolist() == rows.tolist()
    with pytest.raises(NoAsyncCallError):
        pool.recv()
    observations, _, _, _, infos = pool.step(np.full(4, 5))
    assert observations[:, 3].tolist() == [5] * 4
    assert infos["elapsed_step"].tolist() == [1 + (i in rows) for i in range(4)]
    pool.close()


def test_an_asynchronous_pool(tmp_path):
    gate = tmp_path / "gate"
    pool = gated(gate, "step", batch_size=2, at=1)
    pool.async_reset()
    pool.send(np.full(4, 2), np.concatenate([pool.recv()[4]["env_id"] for _ in range(2)]))
    env_ids = np.concatenate([pool.recv()[4]["env_id"] for _ in range(2)])
    with interrupted(gate):
        pool.send(np.full(4, 3), env_ids)
        pool.recv()
        pool.recv()
    left = pool._out()
    assert len(left) >= 2
    batches = [pool.recv() for _ in range(len(left) // 2)]
    assert sorted(np.concatenate([batch[4]["env_id"] for batch in batches])) == left
    for observations, *_ in batches:
        assert (observations[:, 2:] == [2, 3]).all()
    pool.async_reset()
    for _ in range(2):
        observations, _, _, _, infos = pool.recv()
        assert_begun(observations, infos)
    pool.close()


@with_pool(CountingEnv, "gymnasium", num_envs=4, num_threads=2)
def test_an_interrupted_drop_is_taken_up(pool, monkeypatch):
    """Ctrl-C in the reset that waits for what was sent before, of which it has dropped some."""
    pool.reset()
    pool.send(np.full(3, 3), np.arange(3))
    calls = []

    def recv(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return receive(*args)

    receive = pool._envs.recv
    with monkeypatch.context() as patch:
        patch.setattr(pool._envs, "recv", recv)
        with pytest.raises(KeyboardInterrupt):
            pool.reset()
    left = pool._out()
    observations, _, _, _, infos = pool.recv()
    assert observations[:, 2:].tolist() == [[1, 3]]
    assert infos["env_id"].tolist() == left
    assert_begun(*pool.reset())
