# SPDX-License-Identifier: MIT
"""Envs that a host loses between a request and its answer, however their actions travel."""

from __future__ import annotations

import contextlib
import os
import signal

import numpy as np
import pytest

import envring
from envring import EnvSource
from envring.adapters.listed import ListedEnvs
from envring.batch.actions import Each
from support import listening_envs
from support.hosts import running
from support.processes import assert_gone
from support.restarts import assert_ended

HERE = os.path.abspath(listening_envs.__file__)
KINDS = {
    "Listening": lambda envs: np.array([1, 2, 3]),
    "Listening.ints": lambda envs: [1, 2, 3],
    "Listening.small": lambda envs: np.array([1, 2, 3], np.int8),
    "Listening.each": lambda envs: Each([1, np.int8(2), 3]),
    "Texts": lambda envs: envs.action_space.sample(),
    "Sequences": lambda envs: envs.action_space.sample(),
    "Mixed": lambda envs: envs.action_space.sample(),
}


def sources(kind):
    name = f"{HERE}:{kind.partition('.')[0]}"
    return [EnvSource.elsewhere(name, kwargs={"index": i, "lengths": (10**6,)}) for i in range(3)]


class _Way:
    """A way to have all envs stepped, in two halves."""

    def __init__(self, name, envs):
        self.name, self.envs = name, envs
        self.part = envs.split(1)[0] if name == "parts" else None

    def start(self, actions):
        if self.name == "step":
            self.envs.step_async(actions)
        elif self.name == "parts":
            self.part.step_async(actions)
        else:
            self.envs.send(actions)

    def finish(self):
        if self.name == "step":
            return self.envs.step_wait(timeout=20)
        if self.name == "parts":
            return self.part.step_wait(timeout=20)
        results = self.envs.recv(3, timeout=20)
        assert results[4].pop("env_id").tolist() == [0, 1, 2]
        return results

    def step(self, actions):
        self.start(actions)
        return self.finish()


@contextlib.contextmanager
def opened(kind, way, remotes):
    envs = envring.RingVectorEnv(
        sources(kind), remotes=remotes, on_worker_death="restart", num_workers=1
    )
    envs.action_space.seed(0)
    try:
        yield envs, _Way(way, envs)
    finally:
        envs.close()


@pytest.fixture(scope="module")
def host():
    names = [f"{HERE}:{kind}" for kind in dict.fromkeys(k.partition(".")[0] for k in KINDS)]
    with envring.serve(names, grace=0.3) as host:
        yield host


def worker_of(host):
    (entry,) = host.sessions._entries.values()
    return entry.session.pool.workers[0].pid


def check_truth(way, kind):
    """Actions arrive as they were given, as if nothing had been."""
    actions = KINDS[kind](way.envs)
    results = way.step(actions)
    assert not results[3].any()
    told = results[4]["told"].tolist()
    if kind == "Mixed":
        x, y = actions["x"], actions["y"]
        assert told == [repr({"x": x[i], "y": y[i]}) for i in range(3)]
    elif isinstance(actions, (Each, tuple)):
        assert told == [repr(each) for each in actions]
    else:  # `send` casts to the dtype of the space
        assert [int(each.rpartition("(")[2].strip(")")) for each in told] == [1, 2, 3]
    return results[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["step", "send", "parts"])
def test_a_worker_of_the_host_dies_before_it_answers(way, kind, host, no_sessions_left):
    with opened(kind, way, host.url) as (envs, stepping):
        envs.reset(seed=0) if stepping.part is None else stepping.part.reset(seed=0)
        last = check_truth(stepping, kind)
        pid = worker_of(host)
        os.kill(pid, signal.SIGSTOP)
        stepping.start(KINDS[kind](envs))
        os.kill(pid, signal.SIGKILL)
        assert_ended(stepping.finish(), last, slice(0, 3), "NextStep")
        assert (stepping.step(KINDS[kind](envs))[0][:, 2:] == [0, -1]).all()
        check_truth(stepping, kind)
        assert [worker.restarts for worker in envs.stats().workers] == [1]


@pytest.mark.parametrize("kind", ["Listening.each", "Texts"])
@pytest.mark.parametrize("way", ["step", "send", "parts"])
def test_the_host_dies_before_it_answers(way, kind, host, no_sessions_left):
    with (
        running(f"{HERE}:{kind.partition('.')[0]}") as first,
        opened(kind, way, f"{first.url},{host.url}") as (envs, stepping),
    ):
        spans = {
            str(part.pool.address): envs._batcher.pool.spans[part.which[0]]
            for part in envs._batcher.pool.parts
        }
        lost = slice(*spans[first.url])
        envs.reset(seed=0) if stepping.part is None else stepping.part.reset(seed=0)
        last = check_truth(stepping, kind)
        os.kill(first.process.pid, signal.SIGSTOP)
        stepping.start(KINDS[kind](envs))
        first.process.kill()
        assert_gone(first.process.pid, 5)
        assert_ended(stepping.finish(), last, lost, "NextStep")
        stepping.step(KINDS[kind](envs))
        check_truth(stepping, kind)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_some_that_are_lost_before_they_are_sent(mode, host, no_sessions_left):
    """Their actions were encoded for a session that was gone by then."""
    envs = ListedEnvs(
        sources("Listening"),
        remotes=host.url,
        num_workers=1,
        on_worker_death="restart",
        autoreset_mode=mode,
    )
    with contextlib.closing(envs):
        envs.reset(seed=0)
        os.kill(worker_of(host), signal.SIGKILL)
        _, rewards, _, truncations, infos = envs.step_some([1, 2], [0, 2])
        assert (rewards.tolist(), truncations.tolist()) == ([0, 0], [True, True])
        assert [info["worker_restarted"] for info in infos] == [True, True]
        if mode == "Disabled":
            envs.reset_some([0, 2])
        elif mode == "NextStep":
            envs.step_some([1, 1], [0, 2])
        infos = envs.step_some([np.int8(1), 2], [0, 2])[4]
        assert [info["told"] for info in infos] == [repr(np.int8(1)), "2"]
        assert envs.step_some([3], [1])[3].tolist() == [True]
