# SPDX-License-Identifier: MIT
"""Some envs of a part are reset, while another part is stepped: as SyncVectorEnv does it."""

from __future__ import annotations

import contextlib
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError
from gymnasium.spaces import Box, Discrete, Text
from gymnasium.vector import SyncVectorEnv

import envring
from envring.testing import CountingEnv, SpaceEnv, assert_same_batch
from envring.testing.conformance_base import quiet
from foreign.home import Home, plain
from foreign.test_relay import WithoutLibrary
from support.vector_envs import counting, divided, several

PLACES = {
    "local": {"num_workers": 2},
    "reference": {"num_workers": 2, "step_loop": "reference"},
    "inline": {"num_workers": 0},
    "no copy": {"num_workers": 2, "copy": False},
    "restarts": {"num_workers": 2, "on_worker_death": "restart"},
    "foreign": {"num_workers": 2, "launcher": envring.Python(sys.executable)},
    "relayed": {"num_workers": 2, "launcher": WithoutLibrary(sys.executable)},
}
MODES = ["NextStep", "SameStep", "Disabled"]
KINDS = [
    {"index": i, "lengths": lengths, "ending": "both", "infos": "churn"}
    for i, lengths in enumerate([(3, 1), (2,), (5, 4), (1,), (7, 2), (4,)])
]


@contextlib.contextmanager
def split(env_fns, **kwargs):
    envs = envring.RingVectorEnv(env_fns, **kwargs)
    try:
        yield envs, envs.split(2)
    finally:
        envs.close()


def play(parts, oracles, mode, rounds=40):
    """Steps two parts in turn, and resets some of their envs while the other one is pending."""
    random = np.random.default_rng(2)
    n = parts[0].num_envs
    over = [np.zeros(n, bool), np.zeros(n, bool)]
    expected = [None, None]

    def start(k):
        actions = random.integers(0, 8, n)
        parts[k].step_async(actions)
        expected[k] = oracles[k].step(actions)

    def finish(k):
        batch = parts[k].step_wait()
        assert_same_batch(batch, expected[k])
        over[k] = batch[2] | batch[3]

    for k in (0, 1):
        assert_same_batch(parts[k].reset(seed=5 + k), oracles[k].reset(seed=5 + k))
    start(0)
    resets = 0
    for at in range(rounds):
        now, other = at % 2, 1 - at % 2
        start(other)
        finish(now)
        mask = over[now] if mode == "Disabled" else random.random(n) < 0.3
        for _ in range(2):
            if not mask.any():
                break
            resets += 1
            seeds = [
                None if random.random() < 0.5 else int(each) for each in random.integers(0, 9, n)
            ]
            options = {"reset_mask": mask, "level": at}
            expected_reset = oracles[now].reset(seed=seeds, options=dict(options))
            assert_same_batch(parts[now].reset(seed=seeds, options=options), expected_reset)
            assert options == {"reset_mask": mask, "level": at}
            mask = random.random(n) < 0.5
    finish(1 - now)
    assert resets > 10


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", MODES)
def test_a_mask_resets_some_envs(place, mode):
    fns = [partial(Home, "Plain", **kind) for kind in KINDS]
    sources = [plain(**kind) for kind in KINDS] if "launcher" in PLACES[place] else fns
    with split(sources, autoreset_mode=mode, **PLACES[place]) as (_, parts):
        oracles = [
            SyncVectorEnv([fns[i] for i in part.env_ids], autoreset_mode=mode) for part in parts
        ]
        play(parts, oracles, mode)


class Large(CountingEnv):
    """Observations that are handed out in place."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.observation_space = Box(0, 255, (64, 64, 4), np.uint8)

    def reset(self, *, seed=None, options=None):
        _, info = super().reset(seed=seed)
        self.shade = 0 if seed is None else seed
        return self.picture(), info

    def step(self, action):
        _, *rest = super().step(action)
        self.shade += 1
        return self.picture(), *rest

    def picture(self):
        return np.full(self.observation_space.shape, self.shade, np.uint8)


@pytest.mark.parametrize("kind", ["large", "text", "each a worker"])
@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_other_observations(kind, mode):
    fn = partial(Large, lengths=[2, 3])
    if kind == "text":
        fn = partial(SpaceEnv, gym.spaces.Dict(t=Text(5), b=Box(-1, 1, (2,))), Discrete(8))
    with split([fn] * 4, num_workers=4 if kind == "each a worker" else 2, autoreset_mode=mode) as (
        envs,
        parts,
    ):
        oracles = [SyncVectorEnv([fn] * 2, autoreset_mode=mode) for _ in parts]
        play(parts, oracles, mode)
        if kind == "each a worker":
            return
        # what the whole did last is not at hand
        envs.reset(seed=0)
        mask = {"reset_mask": np.array([False, True])}
        with pytest.raises(envring.EnvringError, match="env 0, which reset_mask leaves alone"):
            parts[0].reset(options=mask)
        before, _ = parts[0].reset(seed=3)
        after, _ = parts[0].reset(options=mask)
        for old, new in (
            [(before, after)]
            if kind == "large"
            else zip(*map(dict.values, (before, after)), strict=True)
        ):
            assert_same_batch(new[0], old[0])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_vector_envs(mode):
    sizes, fns = [2, 2, 2, 2], counting(8)
    with split(divided(fns, sizes, mode), num_workers=2, autoreset_mode=mode) as (_, parts):
        oracles = [several([fns[i] for i in part.env_ids], mode) for part in parts]
        play(parts, oracles, mode)


def test_whole_and_parts_in_turn():
    """Small observations of the whole are at hand as well."""
    fns = [partial(CountingEnv, lengths=[9])] * 4
    with split(fns, num_workers=2) as (envs, (first, second)):
        oracle = SyncVectorEnv(fns)
        envs.reset(seed=0)
        oracle.reset(seed=0)
        envs.step(np.zeros(4, np.int64))
        observations = oracle.step(np.zeros(4, np.int64))[0]
        second.step_async(np.zeros(2, np.int64))
        found, _ = first.reset(seed=[7, None], options={"reset_mask": np.array([True, False])})
        second.step_wait()
        expected, _ = oracle.reset(
            seed=[7] + [None] * 3, options={"reset_mask": np.array([True] + [False] * 3)}
        )
        np.testing.assert_array_equal(found, expected[first.env_ids])
        assert not np.array_equal(found[0], observations[0])
        kept = found.copy()
        found[...] = 0  # the user's own
        again, _ = first.reset(seed=[7, None], options={"reset_mask": np.array([True, False])})
        np.testing.assert_array_equal(again[1], kept[1])


class Raising(CountingEnv):
    def reset(self, *, seed=None, options=None):
        if options:
            raise KeyError("no such level")
        return super().reset(seed=seed)


def test_wrong_use():
    with split([Raising] * 4, num_workers=2, autoreset_mode="Disabled") as (_, (first, second)):
        first.reset(seed=0)
        second.reset(seed=0)
        for mask, error in (
            (np.ones(3, bool), ValueError),
            (np.zeros(2, bool), ValueError),
            (np.ones(2), TypeError),
            ([True, False], TypeError),
        ):
            with pytest.raises(error, match="reset_mask"):
                first.reset(options={"reset_mask": mask})
        with pytest.raises(ValueError, match="num_envs=2"):
            first.reset(seed=[1], options={"reset_mask": np.ones(2, bool)})
        mask = {"reset_mask": np.array([False, True])}
        first.step_async(np.zeros(2, np.int64))
        with pytest.raises(AlreadyPendingCallError, match="pending call to `step`"):
            first.reset(options=mask)
        first.step_wait()
        with quiet(), pytest.raises(KeyError, match="no such level"):
            first.reset(options={**mask, "level": 1})
        first.reset(options=mask)
        first.step(np.zeros(2, np.int64))
        second.step(np.zeros(2, np.int64))
