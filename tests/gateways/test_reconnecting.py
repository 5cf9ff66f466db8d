# SPDX-License-Identifier: MIT
"""on_worker_death="restart" with remotes=: a lost host or connection is the death of its envs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import envring
from envring import EnvSource, HostLost, LauncherError, WorkerDied, WorkerRestarted
from envring.pool.seeds import fresh_seed
from envring.testing import CountingEnv, assert_same_batch
from support.hosts import running
from support.proxy import Proxy
from support.restarts import assert_ended

COUNTING = "envring.testing:CountingEnv"
MODES = ["NextStep", "SameStep", "Disabled"]


@pytest.fixture(scope="module")
def host():
    with envring.serve([COUNTING, "CartPole-v1"], grace=0.3) as host:
        yield host


@pytest.fixture
def proxy(host):
    proxy = Proxy(host.url)
    yield proxy
    proxy.close()


def sources(count, length=10**6, first=0):
    return [
        EnvSource.elsewhere(COUNTING, kwargs={"index": i, "lengths": (length,)})
        for i in range(first, first + count)
    ]


def steps(envs, count):
    for _ in range(count):
        envs.step([1] * envs.num_envs)


@pytest.fixture
def made():
    envs = []

    def make(env_fns, remotes, **kwargs):
        kwargs.setdefault("on_worker_death", "restart")
        # forked workers would hold the other ends of connections that are cut here
        kwargs.setdefault("context", "forkserver")
        envs.append(envring.RingVectorEnv(env_fns, remotes=remotes, **kwargs))
        return envs[-1]

    yield make
    for each in envs:
        each.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_lost_connection(mode, host, proxy, made):
    envs = made(sources(3), proxy.url, autoreset_mode=mode)
    last, _ = envs.reset(seed=5)
    for restarts in (1, 2):
        for _ in range(3):
            last = envs.step([2] * 3)[0]
        proxy.cut_after(0)
        results = envs.step([3] * 3)
        if not results[3].any():  # the request had gone through
            last, results = results[0], envs.step([3] * 3)
        assert_ended(results, last, slice(0, 3), mode)
        if mode != "SameStep":
            after = envs.step([1] * 3)[0] if mode == "NextStep" else envs.reset()[0]
            assert after[:, 2:].tolist() == [[0, -1]] * 3
        assert envs.get_attr("np_random_seed") == tuple(
            fresh_seed(5 + i, restarts) for i in range(3)
        )
        observations, _, _, truncations, _ = envs.step([1] * 3)
        assert observations[:, 2:].tolist() == [[1, 1]] * 3
        assert not truncations.any()
    assert [worker.restarts for worker in envs.stats().workers] == [2]


def test_an_env_that_had_ended_is_reset_and_not_ended_twice(host, proxy, made):
    envs = made(sources(2, length=2), proxy.url)
    envs.reset(seed=0)
    envs.step([0, 0])
    assert envs.step([0, 0])[2].all()
    proxy.cut_after(0)
    observations, _, terminations, truncations, infos = envs.step([0, 0])
    assert (observations[:, 2] == 0).all()
    assert not (terminations | truncations).any()
    assert infos["worker_restarted"].all()


def test_a_reset_is_made_again(host, proxy, made):
    envs = made(sources(2), proxy.url)
    envs.reset(seed=0)
    proxy.cut_after(0)
    _, infos = envs.reset(seed=[8, 9])
    assert infos["worker_restarted"].all()
    assert envs.get_attr("np_random_seed") == (8, 9)


def test_calls_say_that_they_were_cut_off(host, proxy, made):
    envs = made(sources(2), proxy.url)
    envs.reset(seed=0)
    proxy.cut_after(0)
    with pytest.raises(WorkerRestarted, match="envs 0, 1"):
        envs.get_attr("gravity")
    assert envs.get_attr("gravity") == (9.8, 9.8)
    assert envs.step([0, 0])[3].all()


def test_infos_of_known_keys_go_on(host, proxy, made):
    """Templates are told to the new session, too."""
    envs = made(sources(2), proxy.url)
    envs.reset(seed=0)
    for t in range(1, 4):
        assert envs.step([0, 0])[4]["t"].tolist() == [t, t]
    proxy.cut_after(0)
    envs.step([0, 0])
    envs.step([0, 0])
    for t in range(1, 4):
        assert envs.step([0, 0])[4]["t"].tolist() == [t, t]


def test_a_worker_of_the_host_dies(host, made):
    envs = made(sources(2), host.url)
    last, _ = envs.reset(seed=0)
    session = next(iter(host.sessions._entries.values())).session
    os.kill(session.pool.workers[0].pid, signal.SIGKILL)
    results = envs.step([0, 0])
    assert_ended(results, last, slice(0, 2), "NextStep")


def test_siblings_here_and_on_another_host_lose_nothing(host, proxy, made):
    fns = [*sources(1), *sources(2, first=1), *sources(2, first=3)]
    envs = made(fns, f"1,{proxy.url},{host.url}")
    spans = envs._batcher.pool.spans
    assert len(spans) == 3
    oracle = SyncVectorEnv([lambda i=i: CountingEnv(i, (10**6,)) for i in range(5)])
    (number,) = [
        part.which[0]
        for part in envs._batcher.pool.parts
        if str(getattr(part.pool, "address", "")).startswith(proxy.url)
    ]
    lost = slice(*spans[number])
    others = np.ones(5, bool)
    others[lost] = False
    last, _ = envs.reset(seed=0)
    oracle.reset(seed=0)
    ends = 0
    for t in range(12):
        if t in (3, 8):
            proxy.cut_after(0)
        results, expected = envs.step([t % 8] * 5), oracle.step([t % 8] * 5)
        for ours, theirs in zip(results[:4], expected[:4], strict=True):
            assert_same_batch(ours[others], theirs[others])
        if results[3].any():
            assert_ended(results, last, lost, "NextStep")
            ends += 1
        last = results[0]
    assert ends == 2


def test_sent_and_received(host, proxy, made):
    """Envs here go on meanwhile; those that were out come back with their ends."""
    fns = sources(4)
    envs = made(fns, f"2,{proxy.url}", batch_size=1, num_workers=2)
    (first, end) = envs._batcher.pool.spans[-1]
    last = dict(enumerate(envs.reset(seed=0)[0]))
    envs.send(np.full(4, 3))
    ends = np.zeros(4, int)
    resetting = np.zeros(4, bool)
    until = time.monotonic() + 3
    cut = False
    while time.monotonic() < until or not ends[first:end].all():
        observations, _, _, truncations, infos = envs.recv(1, timeout=20)
        i = int(infos["env_id"][0])
        if truncations[0]:
            assert first <= i < end
            assert observations[0].tolist() == last[i].tolist()
            ends[i] += 1
        elif resetting[i]:
            assert observations[0, 2:].tolist() == [0, -1]
        else:
            assert observations[0, 2] == last[i][2] + 1
        resetting[i] = truncations[0]
        last[i] = observations[0]
        if last[i][2] == 20 and not cut:
            proxy.cut_after(0)
            cut = True
        envs.send([3], [i])
        if ends[first:end].all() and not resetting.any():
            break
    assert ends.tolist() == [int(first <= i < end) for i in range(4)]
    envs.recv(4)


def test_resets_that_were_out(host, proxy, made):
    envs = made(sources(2), proxy.url)
    envs.reset(seed=0)
    proxy.cut_after(0)
    envs.async_reset(seed=[8, 9])
    infos = envs.recv(2, timeout=20)[4]
    assert infos["worker_restarted"].all()
    assert envs.get_attr("np_random_seed") == (8, 9)


def test_another_host_takes_the_envs(host, made):
    with running(COUNTING) as first:
        envs = made(sources(4), f"{first.url},{host.url}")
        last, _ = envs.reset(seed=0)
        last = envs.step([1] * 4)[0]
        first.process.kill()
        results = envs.step([1] * 4)
        if not results[3].any():
            last, results = results[0], envs.step([1] * 4)
        assert results[3].tolist() == [True, True, False, False]
        assert_same_batch(results[0][:2], last[:2])
        assert results[0][2:, 2].tolist() == [last[2, 2] + 1] * 2
        assert {worker.host for worker in envs.stats().workers} == {host.url}
        envs.step([1] * 4)


def test_a_host_that_is_started_again(made):
    with running(COUNTING) as first:
        envs = made(sources(2), first.url, restart_window=30.0)
        envs.reset(seed=0)
        last = envs.step([1] * 2)[0]
        first.process.kill()
        first.process.wait()
        with running(COUNTING, "--listen", first.url):
            results = envs.step([1] * 2)
            assert_ended(results, last, slice(0, 2), "NextStep")
            envs.close()


@pytest.mark.parametrize("why", ["gone", "often"])
def test_it_is_given_up(why, made):
    with running(COUNTING) as first:
        proxy = Proxy(first.url)
        window = 1.0 if why == "gone" else 60.0
        envs = made(sources(2), proxy.url, restart_window=window, max_restarts=1)
        envs.reset(seed=0)
        if why == "gone":
            first.process.kill()
        else:
            proxy.cut_after(0)
            envs.step([1] * 2)
            proxy.cut_after(0)
        for _ in range(2):
            with pytest.raises(HostLost, match="had again within 1 s|connected to again 1 time"):
                steps(envs, 3)
        proxy.close()


def test_close_while_it_is_missing(made):
    with running(COUNTING) as first:
        envs = made(sources(2), first.url)
        envs.reset(seed=0)
        first.process.kill()
        first.process.wait()
        envs.step_async([1] * 2)
        with pytest.raises(multiprocessing.TimeoutError):
            envs.step_wait(timeout=0.3)
        start = time.monotonic()
        envs.close(timeout=0.3)
        assert time.monotonic() - start < 10


def test_one_env(host, proxy):
    env = envring.make("CartPole-v1", remotes=proxy.url, on_worker_death="restart")
    env.reset(seed=0)
    last = env.step(0)[0]
    proxy.cut_after(0)
    results = env.step(0)
    assert_same_batch(results[0], last)
    assert results[1:] == (0.0, False, True, {"worker_restarted": True})
    env.reset()
    assert not env.step(0)[3]
    env.close()


def test_without_it_a_lost_host_is_an_error(host, proxy, made):
    envs = made(sources(2), proxy.url, on_worker_death="raise")
    envs.reset(seed=0)
    proxy.cut_after(0)
    with pytest.raises(WorkerDied):
        steps(envs, 2)


def test_refused(host, made):
    with pytest.raises(LauncherError, match="restart_every"):
        made(sources(2), host.url, restart_every={"episodes": 1})


def test_a_session_with_a_name(made):
    """Its host keeps the old envs for whoever comes back by that name; these are new ones."""
    with envring.serve(COUNTING, grace=60) as keeping:
        proxy = Proxy(keeping.url)
        envs = made(sources(2), f"{proxy.url}?session=run-17", restart_window=10.0)
        envs.reset(seed=0)
        last = envs.step([1] * 2)[0]
        proxy.cut_after(0)
        assert_ended(envs.step([1] * 2), last, slice(0, 2), "NextStep")
        envs.close()
        proxy.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_rollouts(mode, host, proxy, made):
    envs = made(sources(2), proxy.url, autoreset_mode=mode, slots=4)
    rollout = envs.rollout()
    last = np.array(rollout.reset(seed=0)[0])
    ends = 0
    for t in range(10):
        if t in (2, 6):
            proxy.cut_after(0)
        observations, rewards, _, truncations, infos = rollout.step([2] * 2)
        if truncations.any():
            results = observations, rewards, _, truncations, infos
            assert_ended(results, last, slice(0, 2), mode)
            assert_same_batch(rollout.final_obs.observations[-2:], last)
            ends += 1
        last = np.array(observations)
    assert ends == 2
