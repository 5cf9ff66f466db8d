# SPDX-License-Identifier: MIT
"""Sessions of callers that speak another wire: the host's limits hold for them, too."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time

import numpy as np
import pytest

import envring
from envring import HostLost, HostRefused, UnsendableError, WorkerDied, WorkerTimeout
from envring.gateways.guests import Guests
from envring.gateways.metrics import render
from envring.gateways.options import HostOptions
from envring.gateways.runtimes import Runtime
from envring.gateways.sessions import Sessions
from envring.testing import assert_same_batch
from envring.testing.conformance_base import quiet
from support.processes import assert_gone, wait_until

COUNTING = "envring.testing:CountingEnv"
SCRIPTED = "envring.testing:ScriptedEnv"


@pytest.fixture(scope="module")
def host():
    fixed = Runtime("fixed", (SCRIPTED,), kwargs={"index": 5}, allow_kwargs=False)
    envs = ["CartPole-v1", COUNTING, "envring.bench.workloads.synthetic:SpinEnv"]
    with envring.serve(envs, runtimes=[fixed], keys=["secret"], num_envs=4) as host:
        yield host


@pytest.fixture
def guests(host):
    yield Guests(host)
    left = host.sessions.all()
    for entry in left:
        host.sessions.end(entry)
    assert not left


def opened(guests, env="CartPole-v1", kwargs=None, key="secret", **options):
    return guests.open("test", key, env, kwargs, wire="test", **options)


def pid_of(guest):
    return guest._batcher.pool.processes[0].pid


def segments():
    """How many segments of memory this process holds."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith("/memfd:")
    return found


class TestEnvs:
    def test_one_gives_what_a_local_env_gives(self, guests):
        local = envring.make("CartPole-v1", launcher=envring.Python(sys.executable))
        guest = opened(guests)
        assert_same_batch(guest.reset(seed=0), local.reset(seed=0))
        for _ in range(30):
            assert_same_batch(guest.step(1), local.step(1))
        assert guest.steps == 30 and guest.env.render_mode is None
        guest.close()
        guest.close()
        local.close()

    def test_a_vector_env(self, guests):
        guest = opened(guests, COUNTING, {"lengths": [2]}, num_envs=3, autoreset_mode="SameStep")
        observations, _ = guest.reset(seed=[1, 2, 3])
        assert observations.shape == (3, 4)
        guest.step(np.zeros(3, int))
        _, _, terminations, _, infos = guest.step(np.zeros(3, int))
        assert terminations.all() and "final_obs" in infos
        assert guest.steps == 6 and len(guest.render() or ()) in (0, 3)
        guest.close()

    def test_the_first_env_and_its_rendering(self, guests):
        guest = opened(guests, None, {"render_mode": "rgb_array"}, runtime="default")
        guest.reset()
        assert guest.render().dtype == np.uint8
        guest.close()

    def test_its_process_is_gone_and_its_slot_free(self, guests, host):
        guest = opened(guests)
        pid = pid_of(guest)
        assert host.sessions.used() == 1
        guest.close()
        assert_gone(pid, 5)
        assert host.sessions.used() == 0
        with pytest.raises(HostLost):
            guest.step(0)

    def test_an_error_of_an_env_leaves_it_usable(self, guests):
        guest = opened(guests)
        with quiet(), pytest.raises(Exception, match="reset"):
            guest.step(0)
        guest.reset()
        guest.close()

    def test_an_env_that_cannot_be_built_takes_no_slot(self, guests, host):
        with quiet(), pytest.raises(Exception, match="no_such"):
            opened(guests, COUNTING, {"no_such": 1})
        assert host.sessions.used() == 0

    def test_arguments_that_cannot_be_sent_leave_no_process(self, guests, host):
        deep = 1
        for _ in range(120):
            deep = {"a": deep}
        with pytest.raises(UnsendableError, match="deeper than 100"):
            opened(guests, COUNTING, {"lengths": deep})
        assert host.sessions.used() == 0  # and what this test started has ended

    def test_a_dead_worker_ends_the_session(self, guests, host):
        guest, deaths = opened(guests), host.sessions.counts["deaths"]
        guest.reset()
        guest._batcher.pool.processes[0].kill()
        with pytest.raises(WorkerDied):
            guest.step(0)
        with pytest.raises(HostLost, match="its process was killed by signal 9"):
            guest.step(0)
        assert host.sessions.counts["deaths"] == deaths + 1
        assert host.sessions.used() == 0  # at once, whether its caller goes or stays
        guest.close()

    @pytest.mark.parametrize("dies", [False, True])
    def test_its_memory_goes_with_it_and_not_when_garbage_is_collected(self, guests, dies):
        gc.collect()
        before = segments()
        gc.disable()
        try:
            guest = opened(guests)
            guest.reset()
            assert segments() > before
            if dies:
                guest._batcher.pool.processes[0].kill()
                with pytest.raises(WorkerDied):
                    guest.step(0)
            guest.close()
            assert segments() == before
        finally:
            gc.enable()

    def test_what_its_env_raises_is_for_its_caller_alone(self, guests, recwarn):
        guest = opened(guests)
        with pytest.raises(Exception, match="reset"):
            guest.step(0)
        guest.close()
        assert not recwarn.list

    def test_steps_and_latency_are_counted(self, guests, host):
        before = host.sessions.steps
        guest = opened(guests)
        guest.reset()
        guest.step(0)
        assert host.sessions.steps == before + 1
        assert 'envring_batch_seconds_count{wire="test"}' in render(host)
        guest.close()
        assert host.sessions.steps == before + 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("reason", "arguments"),
        [
            ("key", {"key": None}),
            ("key", {"key": "wrong"}),
            ("env", {"env": "os:system"}),
            ("env", {"kwargs": {"index": 2}, "env": SCRIPTED}),
            ("env", {"kwargs": {"x": object()}}),
            ("runtime", {"runtime": "none"}),
            ("message", {"num_envs": 0}),
            ("message", {"num_envs": True}),
            ("full", {"num_envs": 5}),
        ],
    )
    def test_each_has_its_reason(self, guests, host, reason, arguments):
        refused = host.sessions.counts["refused"]
        with pytest.raises(HostRefused) as caught:
            opened(guests, **arguments)
        assert caught.value.reason == reason
        assert host.sessions.counts["refused"] == refused + 1 and not len(host.sessions)


class TestEnds:
    def test_an_idle_session_ends_by_itself(self):
        with envring.serve("CartPole-v1", idle_timeout=0.3) as host:
            guest = opened(Guests(host))
            pid = pid_of(guest)
            guest.reset()
            wait_until(lambda: not len(host.sessions), 5, "the session has ended")
            assert_gone(pid, 5)
            with pytest.raises(HostLost) as caught:
                guest.step(0)
            assert caught.value.why == "it was idle"
            guest.close()

    def test_no_grace_is_needed_while_it_is_used(self):
        sessions = Sessions(HostOptions(grace=0.0), None)
        runtime = Runtime("one", ("CartPole-v1",))
        entry = sessions.reserve("name", b"", b"", runtime, 1, None, is_guest=True)
        sessions.expire(time.monotonic() + 100)
        assert entry.over is None

    def test_a_host_that_closes_ends_a_step_under_way(self):
        env = "envring.bench.workloads.synthetic:SpinEnv"
        caught = []

        def step(guest):
            try:
                guest.step(guest.env.action_space.sample())
            except HostLost as error:
                caught.append(error.why)

        with envring.serve(env) as host:
            guest = opened(Guests(host), env, {"seconds": 30.0})
            pid = pid_of(guest)
            guest.reset()
            thread = threading.Thread(target=step, args=(guest,))
            thread.start()
            wait_until(lambda: guest.entry.busy, 5, "it steps")
            host.close()
            thread.join(5)
            assert caught == ["the host was ended"]
            assert_gone(pid, 5)


class TestProcesses:
    """A session whose process has ended gives its slots back, whether its caller asks or not."""

    def test_one_that_dies_between_two_calls(self, guests, host):
        guest, deaths = opened(guests), host.sessions.counts["deaths"]
        guest.reset()
        guest._batcher.pool.processes[0].kill()
        wait_until(lambda: not host.sessions.used(), 5, "its slot is free")
        with pytest.raises(HostLost, match="its process was killed by signal 9"):
            guest.step(0)
        assert host.sessions.counts["deaths"] == deaths + 1

    def test_one_that_takes_longer_than_it_may(self):
        env = "envring.bench.workloads.synthetic:SpinEnv"
        spins = Runtime("spins", (env,), kwargs={"seconds": 30.0}, step_timeout=0.2)
        with envring.serve(runtimes=[spins]) as host:
            guest = opened(Guests(host), env)
            guest.reset()
            with pytest.raises(WorkerTimeout):
                guest.step(0)
            assert not host.sessions.used()
            with pytest.raises(HostLost, match="longer than it may"):
                guest.step(0)
