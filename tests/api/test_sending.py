# SPDX-License-Identifier: MIT
"""send and recv: each env's own sequence is SyncVectorEnv's, whatever is sent when."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from gymnasium.spaces import Box, Dict, Discrete, Graph, Text

import envring
from envring.testing import CountingEnv, GatedEnv, HangingEnv
from envring.testing.conformance_base import quiet
from foreign.home import Home, plain
from foreign.test_relay import HERE as WITHOUT_LIBRARY
from support.arrivals import LENGTHS, Alone, drive
from support.processes import wait_until

FOREIGN = envring.Python(sys.executable)
PLACES = {
    "local": {"num_workers": 2},
    "one worker each": {"num_workers": 6},
    "reference": {"num_workers": 2, "step_loop": "reference"},
    "inline": {"num_workers": 0},
    "inline reference": {"num_workers": 0, "step_loop": "reference"},
    "foreign": {"num_workers": 2, "launcher": FOREIGN},
    "foreign reference": {"num_workers": 2, "launcher": FOREIGN, "step_loop": "reference"},
    "without library": {"num_workers": 2, "launcher": WITHOUT_LIBRARY},
    "mixed": {"num_workers": 3, "launcher": FOREIGN},
}


@contextlib.contextmanager
def running(env_fns, **kwargs):
    envs = envring.RingVectorEnv(env_fns, **kwargs)
    try:
        yield envs
    finally:
        envs.close()


def sources_for(place, ending, infos, slow=0.0):
    """Sources of envs, `slow` at random, and functions of the same for an oracle."""
    parts = [
        {"index": i, "lengths": lengths, "ending": ending, "infos": infos}
        for i, lengths in enumerate(LENGTHS)
    ]
    fns = [partial(Home, "Plain", **kwargs) for kwargs in parts]
    if "launcher" not in PLACES[place]:
        return [partial(fn, slow=slow) for fn in fns], fns
    sources = [plain(**kwargs, slow=slow) for kwargs in parts]
    if place == "mixed":
        sources[4:] = [
            envring.EnvSource(s.env, kwargs=s.kwargs, launcher=WITHOUT_LIBRARY) for s in sources[4:]
        ]
    return sources, fns


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("mode", "ending", "infos"),
    [
        ("NextStep", "terminated", "steady"),
        ("SameStep", "both", "churn"),
        ("Disabled", "both", "steady"),
    ],
)
@pytest.mark.parametrize("slow", [0.0, 0.01], ids=["quick", "slow"])
def test_each_env_is_as_alone(place, mode, ending, infos, slow):
    """Under random partial sends, with envs that are all quick or slow at random."""
    sources, fns = sources_for(place, ending, infos, slow)
    with running(sources, autoreset_mode=mode, **PLACES[place]) as envs:
        alone = Alone(fns, mode)
        envs.async_reset(seed=11)
        alone.reset(range(6), range(11, 17), None)
        alone.check(envs.recv(timeout=60))
        drive(envs, alone, 150, 5)
        # and all at once again
        rest = len(alone.expected)
        if rest:
            alone.check(envs.recv(rest, timeout=60))
        assert bool(alone.over) <= (mode == "Disabled")
        envs.reset(seed=1)
        envs.step(np.zeros(6, np.int64))


def test_ended_envs_are_reset_by_hand():
    fns = [partial(CountingEnv, lengths=[2]) for _ in range(4)]
    with running(fns, num_workers=2, autoreset_mode="Disabled") as envs:
        envs.reset(seed=0)
        for _ in range(2):
            envs.send(np.zeros(4, np.int64))
            batch = envs.recv()
        assert batch[2].all() or batch[3].all()
        envs.async_reset([1, 3], seed=5)
        alone = Alone(fns, "Disabled")
        alone.reset([1, 3], [6, 8], None)
        alone.check(envs.recv(2))


def test_options_of_some_envs():
    class Telling(CountingEnv):
        def reset(self, *, seed=None, options=None):
            observation, _ = super().reset(seed=seed)
            return observation, {"seed": -1 if seed is None else seed, "options": repr(options)}

    with running([Telling] * 4, num_workers=2, options_per_env=True) as envs:
        envs.async_reset([2, 1], seed=[0, None], options=[{"a": 1}, None])
        infos = envs.recv(2)[4]
        assert infos["env_id"].tolist() == [1, 2]
        assert infos["seed"].tolist() == [-1, 0]
        assert infos["options"].tolist() == ["None", "{'a': 1}"]
        envs.async_reset([1], options={"b": 2})
        assert envs.recv(1)[4]["options"].tolist() == ["{'b': 2}"]
        envs.async_reset([1])
        assert envs.recv(1)[4]["options"].tolist() == ["None"]


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
        return self.observation_space.sample(), {}

    def step(self, action):
        reward = float(action["x"]) + float(action["y"].sum())
        return self.observation_space.sample(), reward, False, False, {"x": action["x"]}


@pytest.mark.parametrize("workers", [0, 2])
def test_observations_and_actions_of_every_kind(workers):
    with running([Every] * 4, num_workers=workers) as envs:
        alone = Alone([Every] * 4, "NextStep")
        envs.async_reset(seed=3)
        alone.reset(range(4), range(3, 7), None)
        alone.check(envs.recv())
        random = np.random.default_rng(1)
        for _ in range(20):
            chosen = random.permutation(4)[:2].tolist()
            x, y = random.integers(0, 5, 2), random.uniform(-1, 1, (2, 2)).astype(np.float32)
            envs.send({"x": x, "y": y}, chosen)
            alone.step(chosen, [{"x": x[j : j + 1], "y": y[j : j + 1]} for j in range(2)])
            alone.check(envs.recv(2))


class Picture(gym.Env):
    observation_space = Box(0, 255, (64, 64, 4), np.uint8)
    action_space = Discrete(256)

    def __init__(self, number):
        self.number = number

    def reset(self, *, seed=None, options=None):
        return np.full((64, 64, 4), self.number, np.uint8), {}

    def step(self, action):
        picture = np.full((64, 64, 4), self.number, np.uint8)
        picture[0, 0, 0] = action
        return picture, 0.0, False, False, {}


def test_whole_slices_come_in_place_and_never_change():
    with running([partial(Picture, i) for i in range(6)], num_workers=3, batch_size=2) as envs:
        envs.async_reset()
        kept = []
        for _ in range(9):
            observations, *_, infos = envs.recv()
            env_ids = infos["env_id"].tolist()
            assert env_ids in ([0, 1], [2, 3], [4, 5])
            assert observations.base is not None
            assert (observations[:, 1, 1, 1] == env_ids).all()
            kept.append((observations, observations.copy()))
            envs.send(np.full(2, len(kept)), env_ids)
        envs.recv(6)
        envs.step(np.full(6, 99))
        for observations, before in kept:
            np.testing.assert_array_equal(observations, before)
        del kept, observations
        assert envs._batcher.slots.leased == 0


def test_rows_of_several_slices_are_copied():
    with running([partial(Picture, i) for i in range(6)], num_workers=3, batch_size=3) as envs:
        envs.async_reset()
        first = envs.recv()
        before = first[0].copy()
        envs.send(np.full(3, 9), first[4]["env_id"])
        second = envs.recv(6)
        np.testing.assert_array_equal(first[0], before)
        assert (second[0][:, 1, 1, 1] == np.arange(6)).all()
        assert envs._batcher.slots.leased == 0


def test_slow_envs_hold_up_nobody(tmp_path):
    gate = str(tmp_path / "gate")
    waiting = partial(GatedEnv, gate=gate, where="step", at=0)
    fns = [waiting, CountingEnv, CountingEnv, CountingEnv]
    with running(fns, num_workers=2) as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(4, np.int64))
        for _ in range(20):
            env_ids = envs.recv(2, timeout=30)[4]["env_id"]
            assert 0 not in env_ids
            assert env_ids.tolist() == [2, 3]
            envs.send(np.zeros(2, np.int64), env_ids)
        with pytest.raises(multiprocessing.TimeoutError):
            envs.recv(4, timeout=0.05)
        open(gate, "w").close()
        assert envs.recv(4, timeout=30)[4]["env_id"].tolist() == [0, 1, 2, 3]


def test_done_for_the_longest_come_first():
    with running([CountingEnv] * 6, num_workers=1) as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(3, np.int64), [5, 3, 1])
        wait_until(lambda: envs._batcher.arrivals().num_done == 3, 20, "all are done")
        assert envs.recv(1)[4]["env_id"].tolist() == [1]
        envs.send(np.zeros(1, np.int64), [1])
        assert envs.recv(2)[4]["env_id"].tolist() == [3, 5]
        assert envs.recv(1)[4]["env_id"].tolist() == [1]


def test_wrong_use():
    with running([CountingEnv] * 4, num_workers=2, batch_size=2) as envs:
        with pytest.raises(NoAsyncCallError):
            envs.recv()
        envs.reset(seed=0)
        with pytest.raises(NoAsyncCallError):
            envs.recv()
        envs.send(np.zeros(2, np.int64), [0, 3])
        with pytest.raises(AlreadyPendingCallError, match="env 3,"):
            envs.send(np.zeros(2, np.int64), [1, 3])
        for call in (
            lambda: envs.step(np.zeros(4, np.int64)),
            lambda: envs.reset(),
            lambda: envs.call("render"),
            lambda: envs.get_attr("spec"),
            lambda: envs.set_attr("x", 1),
        ):
            with pytest.raises(AlreadyPendingCallError, match="envs 0, 3 were sent"):
                call()
        with pytest.raises(ValueError, match="wait for 3 envs, and 2 were sent"):
            envs.recv(3)
        for odd in (2.0, "2", [2]):
            with pytest.raises(TypeError, match="min_envs is a number of envs"):
                envs.recv(odd)
        with pytest.raises(ValueError, match="different indices of 4 envs"):
            envs.send(np.zeros(1, np.int64), [4])
        with pytest.raises(ValueError, match="different indices of 4 envs"):
            envs.send(np.zeros(2, np.int64), [1, 1])
        with pytest.raises(envring.ActionError, match="env 2 would get none"):
            envs.send(np.zeros(1, np.int64), [1, 2])
        with pytest.raises(envring.ActionError, match="dtype float64"):
            envs.send(np.zeros(1), [1])
        assert envs.recv(np.int64(2))[4]["env_id"].tolist() == [0, 3]
        assert len(envs.call("render")) == 4
        envs.step_async(np.zeros(4, np.int64))
        with pytest.raises(AlreadyPendingCallError, match="pending call to `step`"):
            envs.send(np.zeros(4, np.int64))
        envs.step_wait()
    with pytest.raises(gym.error.ClosedEnvironmentError):
        envs.send(np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="batch_size must be from 1 to 4"):
        envring.RingVectorEnv([CountingEnv] * 4, batch_size=5)


class Raising(CountingEnv):
    def step(self, action):
        if action == 3:
            raise KeyError("no such level")
        return super().step(action)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_takes_nothing_from_the_others(workers):
    fns = [Raising] * 4
    with running(fns, num_workers=workers) as envs:
        envs.reset(seed=0)
        envs.send(np.array([0, 3, 0, 0]))
        with quiet(), pytest.raises(KeyError, match="no such level"):
            envs.recv()
        batch = envs.recv(3)
        assert batch[4]["env_id"].tolist() == [0, 2, 3]
        envs.send(np.zeros(4, np.int64))
        assert envs.recv()[4]["env_id"].tolist() == [0, 1, 2, 3]


def test_a_death_is_told():
    class Dying(CountingEnv):
        def step(self, action):
            os._exit(3)

    with running([CountingEnv, CountingEnv, Dying, CountingEnv], num_workers=2) as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(4, np.int64))
        with pytest.raises(envring.WorkerDied, match="envs 2, 3"):
            envs.recv(timeout=30)
        with pytest.raises(envring.WorkerDied):
            envs.recv(2, timeout=30)


def keep_going(envs):
    while True:
        assert envs.recv(1, timeout=30)[4]["env_id"].tolist() == [0]
        envs.send(np.zeros(1, np.int64), 0)


def test_a_worker_that_hangs_while_others_are_quick_is_given_up():
    fns = [CountingEnv, partial(HangingEnv, where="step")]
    with running(fns, num_workers=2, step_timeout=1.5) as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(2, np.int64))
        start = time.monotonic()
        with pytest.raises(envring.WorkerTimeout, match="env 1 did not finish a step"):
            keep_going(envs)
        assert 0.4 < time.monotonic() - start < 20


def test_close_with_envs_that_are_out():
    envs = envring.RingVectorEnv([CountingEnv] * 4, num_workers=2)
    envs.async_reset(seed=1)
    envs.recv(1)
    envs.close()
    assert all(process.exitcode == 0 for process in envs.processes)


class Talking(CountingEnv):
    def step(self, action):
        *rest, _ = super().step(action)
        return *rest, {"text": "x" * 300_000}


def test_replies_longer_than_their_ring():
    with running([partial(Talking, lengths=[100])] * 4, num_workers=2) as envs:
        envs.reset(seed=0)
        envs.send(np.zeros(4, np.int64))
        for _ in range(8):
            infos = envs.recv(2, timeout=60)[4]
            assert [len(text) for text in infos["text"]] == [300_000] * 2
            envs.send(np.zeros(2, np.int64), infos["env_id"])
        envs.recv(4, timeout=60)
