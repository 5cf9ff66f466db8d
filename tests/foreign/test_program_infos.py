# SPDX-License-Identifier: MIT
"""Infos, attributes and final observations of workers without Python, beside SyncVectorEnv."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import envring
from envring import RingVectorEnv
from support.programs import Counting

LOGGED = pytest.warns(UserWarning, match="ERROR: ")  # Gymnasium's way of telling of an env's error
MODES = list(gym.vector.AutoresetMode)


@pytest.fixture
def make(counting):
    made = []

    def make(count=5, **options):
        made.append(RingVectorEnv([counting] * count, num_workers=2, **options))
        return made[-1]

    yield make
    for envs in made:
        envs.close()


def play(envs, steps=30):
    rng = np.random.default_rng(1)
    seen = [envs.reset(seed=10)]  # one of the envs has 13, which has no infos
    for _ in range(steps):
        actions = rng.uniform(-0.9, 0.9, (envs.num_envs, 2)).astype(np.float32)
        seen.append(envs.step(actions))
        ended = seen[-1][2] | seen[-1][3]
        if envs.metadata["autoreset_mode"] is gym.vector.AutoresetMode.DISABLED and ended.any():
            seen.append(envs.reset(options={"reset_mask": ended}))
    return seen


@pytest.mark.parametrize("mode", MODES, ids=[mode.name for mode in MODES])
def test_it_is_as_in_sync_vector_env(make, mode):
    ours = play(make(autoreset_mode=mode))
    plain = gym.vector.SyncVectorEnv([Counting] * 5, autoreset_mode=mode)
    theirs = play(plain)
    plain.close()
    for t, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        assert data_equivalence(left, right, exact=True), (t, left, right)
    infos = [step[-1] for step in ours]
    assert {key for info in infos for key in info} >= {"begun", "count", "big", "share", "odd"}
    assert any("final_obs" in info for info in infos) == (mode.name == "SAME_STEP")


def test_infos_have_columns_after_their_first_time(make):
    envs = make()
    play(envs)
    pool, replies = envs._batcher.pool, []
    collect = pool.collect
    pool.collect = lambda: replies.append(collect()) or replies[-1]
    for _ in range(5):
        assert "count" in envs.step(np.zeros((5, 2), np.float32))[-1]
    assert replies == [None] * 5


def test_send_and_recv_in_the_mode_same_step(make):
    envs, twin = make(autoreset_mode="SameStep"), make(autoreset_mode="SameStep")
    envs.async_reset(seed=10)
    envs.recv(5)
    twin.reset(seed=10)
    actions = np.full((5, 2), 0.5, np.float32)
    for _ in range(9):
        envs.send(actions, np.arange(5))
        observations, rewards, terminations, _, infos = envs.recv(5)
        order = np.argsort(infos.pop("env_id"))
        expected = twin.step(actions)
        assert (observations[order] == expected[0]).all()
        assert (rewards[order] == expected[1]).all()
        assert (terminations[order] == expected[2]).all()
        assert set(infos) == set(expected[4])
        if terminations.any():
            final = np.stack(infos["final_obs"])[order]
            assert (final == np.stack(expected[4]["final_obs"])).all()


def test_attributes(make):
    envs = make()
    envs.reset(seed=10)
    envs.step(np.zeros((5, 2), np.float32))
    assert envs.get_attr("count") == (1,) * 5
    assert envs.call("share") == (0.25,) * 5
    assert envs.get_attr("narrow") == (1.5,) * 5
    assert envs.get_attr("stern") == (False,) * 5
    assert envs.get_attr("big") == (1 << 40,) * 5
    envs.set_attr("length", [1, 2, 3, 4, 5])
    assert envs.get_attr("length") == (1, 2, 3, 4, 5)
    envs.set_attr("big", -(1 << 62))
    assert envs.get_attr("big") == (-(1 << 62),) * 5
    envs.set_attr("share", 2)
    assert envs.get_attr("share") == (2.0,) * 5
    assert envs.step(np.full((5, 2), 0.5, np.float32))[1].tolist() == [1.0] * 5


@pytest.mark.parametrize("sent", [False, True])
def test_the_time_in_steps_counts(make, sent):
    """That of resets and calls does not."""
    envs = make()
    envs.reset(seed=10)
    envs.reset()
    envs.set_attr("nap", [0.01] * 2 + [0.0] * 3)  # s
    assert [worker.batches for worker in envs.stats().workers] == [0, 0]
    actions = np.zeros((5, 2), np.float32)
    for _ in range(10):
        if sent:
            envs.send(actions, np.arange(5))
            envs.recv(5)
        else:
            envs.step(actions)
    asleep, other = envs.stats().workers
    # two of each ten steps begin an episode
    assert 2 * 8 * 0.01 <= asleep.step_seconds <= asleep.seconds
    assert 0 < other.step_seconds < asleep.step_seconds / 2
    assert asleep.env_steps == 20 and other.env_steps == 30
    assert asleep.step_share > 2 * other.step_share > 0
    if sent:
        assert asleep.batches == 20
        envs.async_reset(np.arange(5))
        envs.recv(5)
        assert envs.stats().workers[0].env_steps == 20


def test_wrong_attributes_are_errors_that_name_the_envs(make):
    envs = make()
    envs.reset(seed=10)
    with LOGGED, pytest.raises(envring.RemoteEnvError, match="no attribute x"):
        envs.call("x")
    with LOGGED, pytest.raises(envring.RemoteEnvError, match="not a number that length can be"):
        envs.set_attr("length", 0.5)
    with LOGGED, pytest.raises(envring.RemoteEnvError, match="no attribute y"):
        envs.set_attr("y", 1)
    assert envs.get_attr("length") == (4,) * 5


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_what_envs_throw_leaves_the_others_alone(make, mode):
    envs = make(autoreset_mode=mode)
    envs.reset(seed=10)
    actions = np.zeros((5, 2), np.float32)
    actions[3, 0] = 1
    with LOGGED, pytest.raises(envring.RemoteEnvError, match=r"env 3 .*too far"):
        envs.step(actions)
    envs.set_attr("stern", [False, True, False, False, False])
    envs.set_attr("count", 3)
    if mode == "NextStep":
        assert envs.step(actions * 0)[2].all()
    with LOGGED, pytest.raises(envring.RemoteEnvError, match=r"env 1 .*no reset"):
        envs.step(actions * 0)
    envs.set_attr("stern", False)
    observations, infos = envs.reset(seed=20)
    assert observations[:, 1].tolist() == [20, 21, 22, 23, 24] and infos["begun"].all()


def test_one_env(counting):
    kind = counting.launcher
    with envring.make("Counting-v0", launcher=kind) as env:
        assert env.reset(seed=3)[1] == Counting().reset(seed=3)[1]
        assert env.get_wrapper_attr("length") == 4
        assert env.has_wrapper_attr("share") and not env.has_wrapper_attr("other")
        env.set_wrapper_attr("length", 2)
        steps = [env.step(np.zeros(2, np.float32)) for _ in range(2)]
        assert [step[2] for step in steps] == [False, True]
