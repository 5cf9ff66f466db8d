# SPDX-License-Identifier: MIT
"""Rollouts whose steps raise: nothing is learnt across what was lost."""

from __future__ import annotations

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import envring
from envring.testing.conformance_base import quiet

BEFORE, AFTER = 8, 9  # actions that raise before the env has gone on, and after it has


class Told(gym.Env):
    """Observes its episode, its step, and the last action."""

    observation_space = Box(-1, 1e6, (3,), np.float32)
    action_space = Discrete(10)
    episode = -1

    def __init__(self, length):
        self.length = length

    def reset(self, *, seed=None, options=None):
        self.episode += 1
        self.at = 0
        return np.array([self.episode, 0, -1], np.float32), {}

    def step(self, action):
        if action == BEFORE:
            raise KeyError("before")
        self.at += 1
        if action == AFTER:
            raise KeyError("after")
        observation = np.array([self.episode, self.at, action], np.float32)
        return observation, float(self.at), False, self.at >= self.length, {}


def make(mode, lengths=(2, 3, 5, 7), slots=7, workers=2):
    if mode == "Disabled":
        lengths = [10**6] * len(lengths)
    fns = [partial(Told, length) for length in lengths]
    return envring.RingVectorEnv(fns, num_workers=workers, slots=slots, autoreset_mode=mode)


def check(rollout):
    """Every row that is valid leads to what follows it; all others begin, or follow an end."""
    steps, n = rollout.at, rollout.valid.shape[1]
    observations = np.concatenate([rollout.observations[:steps], [rollout.last_observations]])
    ended = (rollout.terminations | rollout.truncations)[:steps]
    found = rollout.final_obs
    finals = dict(
        zip(
            zip(found.steps.tolist(), found.env_ids.tolist(), strict=True),
            found.observations,
            strict=True,
        )
    )
    assert set(finals) == set(zip(*(each.tolist() for each in np.nonzero(ended)), strict=True))
    for i in range(n):
        for t in range(steps):
            if not rollout.valid[t, i]:
                assert t == 0 or ended[t - 1, i]
                continue
            episode, at, _ = observations[t, i]
            following = finals[t, i] if ended[t, i] else observations[t + 1, i]
            assert following.tolist() == [episode, at + 1, rollout.actions[t, i]], (t, i)
            assert rollout.rewards[t, i] == at + 1
    return rollout.valid[:steps].copy()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_what_is_valid_is_whole(mode, workers):
    random = np.random.default_rng(7)
    envs = make(mode, workers=workers)
    try:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        raised = invalid = 0
        for _ in range(60):
            while True:
                actions = random.integers(0, 8, 4)
                bad = random.random() < 0.2
                if bad:
                    actions[random.integers(4)] = random.choice([BEFORE, AFTER])
                try:
                    with quiet():
                        rollout.step(actions)
                    assert not bad or mode == "NextStep"  # where an env that is reset ignores it
                except KeyError:
                    raised += 1
                check(rollout)
                if rollout.full:
                    break
            invalid += (~check(rollout)).all(1).sum()
        assert raised > 30
        assert invalid > 10
    finally:
        envs.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_lost_step_cuts_all_episodes(mode):
    envs = make(mode, lengths=(3, 100))
    try:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        rollout.step([1, 1])
        rollout.step([1, 1])
        before = rollout.observations[:2].copy()
        with quiet(), pytest.raises(KeyError):
            rollout.step([1, AFTER])  # the third of env 0, whose episode ends
        assert rollout.at == 2
        assert rollout.last_observations[:, 1].tolist() == [2, 2]
        np.testing.assert_array_equal(rollout.observations[:2], before)
        assert not rollout.truncations[:2].any()
        rollout.step([2, 2])
        rollout.step([2, 2])
        assert rollout.valid[:4].tolist() == [[True] * 2, [True] * 2, [False] * 2, [True] * 2]
        assert rollout.truncations[:4].tolist() == [
            [False] * 2,
            [True] * 2,
            [False] * 2,
            [False] * 2,
        ]
        assert rollout.final_obs.observations[:, 1].tolist() == [2, 2]
        first = {"NextStep": [1, 0], "SameStep": [1, 1], "Disabled": [0, 4]}[mode]
        assert rollout.observations[3, 0, :2].tolist() == first
        check(rollout)
    finally:
        envs.close()


def test_lost_steps_of_a_full_rollout_and_of_a_reset():
    envs = make("NextStep", lengths=(100, 100), slots=3)
    try:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        rollout.step([1, 1])
        rollout.step([1, 1])
        with quiet(), pytest.raises(KeyError):
            rollout.step([1, AFTER])
        assert (rollout.full, rollout.at) == (False, 0)  # the next one has begun
        assert rollout.last_observations[:, 1].tolist() == [2, 2]
        rollout.step([1, 1])
        assert rollout.valid[0].tolist() == [False, False]
        assert not rollout.truncations[0].any()
        with quiet(), pytest.raises(KeyError):
            rollout.step([BEFORE, 1])
        rollout.reset(seed=0)
        rollout.step([1, 1])
        assert rollout.valid[0].all()
        assert not rollout.truncations[0].any()
    finally:
        envs.close()


@pytest.mark.parametrize("actions", [[1], np.ones(3, int), [1.5, 1.5], None])
def test_actions_that_do_not_fit_change_nothing(actions):
    envs = make("NextStep", lengths=(100, 100), slots=4)
    try:
        rollout = envs.rollout()
        rollout.reset(seed=0)

        def seen():
            arrays = rollout.observations, rollout.actions, rollout.rewards, rollout.truncations
            return [each.tolist() for each in (*arrays, rollout.valid, rollout.last_observations)]

        for _ in range(2):
            for _ in range(3):
                was = rollout.at, rollout.full, seen()
                with pytest.raises(envring.ActionError):
                    rollout.step(actions)
                assert (rollout.at, rollout.full, seen()) == was
                rollout.step([1, 2])
        assert rollout.full
        was = seen()
        with pytest.raises(envring.ActionError):
            rollout.step(actions)
        assert (rollout.at, rollout.full, seen()) == (3, True, was)
        assert rollout.valid.all()
        rollout.step([1, 2])
        assert rollout.valid[0].all()
        assert rollout.last_observations[:, 1].tolist() == [7, 7]
    finally:
        envs.close()
