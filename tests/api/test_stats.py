# SPDX-License-Identifier: MIT
"""`RingVectorEnv.stats`: what each worker has done, in numbers."""

import dataclasses
import json
import os
import sys
import threading
import time

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError

import envring
from envring.pool import stats
from envring.testing import CountingEnv, DyingEnv
from support.hosts import running

STEPS = 5
SOURCE = envring.EnvSource("envring.testing:CountingEnv")


@pytest.fixture(scope="module")
def host():
    with running("envring.testing:CountingEnv") as host:
        yield host


def stepped(fns, **arguments):
    """A vector env after a reset and some steps."""
    envs = envring.RingVectorEnv(fns, **arguments)
    envs.reset(seed=1)
    for _ in range(STEPS):
        envs.step(np.zeros(len(fns), np.int64))
    return envs


def are_counted(worker, pid):
    assert worker.pid == pid
    assert worker.host is None
    assert worker.batches == STEPS
    assert worker.env_steps == STEPS * len(worker.env_ids)
    assert worker.step_seconds > 0
    assert worker.wait_seconds > 0
    assert worker.spins + worker.sleeps > 0
    assert 0 <= worker.spin_seconds <= worker.wait_seconds
    assert worker.memory > 1 << 20
    assert worker.step_share + worker.wait_share > 0
    assert worker.steps_per_second == worker.env_steps / worker.seconds


def are_unknown(worker):
    names = ("batches", "env_steps", "step_seconds", "wait_seconds", "spins", "sleeps")
    names += ("spin_seconds", "slow_rows", "slowest_env", "slowest_seconds", "spin_share")
    assert [getattr(worker, name) for name in names] == [None] * 11
    assert worker.steps_per_second is worker.step_share is worker.wait_share is None


@pytest.mark.parametrize("launcher", [None, envring.Python(sys.executable)], ids=["local", "other"])
@pytest.mark.parametrize("step_loop", ["compiled", "reference"])
def test_workers(launcher, step_loop):
    fns = [CountingEnv] * 3 if launcher is None else [SOURCE] * 3
    envs = stepped(fns, num_workers=2, launcher=launcher, step_loop=step_loop)
    try:
        found = envs.stats()
        assert [worker.env_ids for worker in found.workers] == [(0,), (1, 2)]
        for worker, process in zip(found.workers, envs.processes, strict=True):
            are_counted(worker, process.pid)
            assert 0 < worker.seconds == found.seconds < 60
        assert found.env_steps == 3 * STEPS
        assert found.steps_per_second == found.env_steps / found.seconds
        assert found.memory == sum(worker.memory for worker in found.workers)
        assert found.caller_spins + found.caller_sleeps > 0
    finally:
        envs.close()


def test_between_two_looks():
    envs = stepped([CountingEnv] * 3, num_workers=2)
    try:
        before = envs.stats()
        for _ in range(2):
            envs.step(np.zeros(3, np.int64))
        after = envs.stats()
        between = after.since(before)
        assert between.env_steps == 6
        assert between.seconds == after.seconds - before.seconds
        assert [worker.batches for worker in between.workers] == [2, 2]
        assert [worker.seconds for worker in between.workers] == [between.seconds] * 2
        assert between.workers[0].memory == after.workers[0].memory
        assert between.steps_per_second == pytest.approx(6 / between.seconds)
        assert between.caller_spins == after.caller_spins - before.caller_spins
        with pytest.raises(ValueError, match="two vector envs"):
            after.since(dataclasses.replace(before, workers=before.workers[:1]))
        assert json.loads(json.dumps(dataclasses.asdict(between)))["workers"][1]["env_steps"] == 4
    finally:
        envs.close()


def test_envs_that_are_stepped_here():
    envs = stepped([CountingEnv] * 2, num_workers=0)
    try:
        found = envs.stats()
        (worker,) = found.workers
        assert (worker.env_ids, worker.pid) == ((0, 1), os.getpid())
        assert worker.memory > 1 << 20
        are_unknown(worker)
        are_unknown(found.since(found).workers[0])
        assert (found.env_steps, found.caller_spins, found.caller_sleeps) == (0, None, None)
    finally:
        envs.close()


def test_a_caller_that_steps_too():
    envs = stepped([CountingEnv] * 3, num_workers=1, caller_steps=True)
    try:
        worker, own = envs.stats().workers
        are_counted(worker, envs.processes[0].pid)
        assert own.pid == os.getpid()
        assert (*worker.env_ids, *own.env_ids) == (0, 1, 2)
        are_unknown(own)
    finally:
        envs.close()


def test_several_launchers():
    other = dataclasses.replace(SOURCE, launcher=envring.Python(sys.executable))
    envs = stepped([other, SOURCE, other], num_workers=3)
    try:
        found = envs.stats()
        assert [worker.env_ids for worker in found.workers] == [(0,), (1,), (2,)]
        for worker, process in zip(found.workers, envs.processes, strict=True):
            are_counted(worker, process.pid)
        assert found.caller_spins + found.caller_sleeps > 0
    finally:
        envs.close()


@pytest.mark.parametrize("local", ["", "1,"], ids=["alone", "beside a worker"])
def test_hosts(host, local):
    envs = stepped([SOURCE] * 2, remotes=f"{local}{host.url}")
    try:
        found = envs.stats()
        *workers, there = found.workers
        assert (there.host, there.pid, there.memory) == (host.url, None, None)
        are_unknown(there)
        assert len(workers) == (1 if local else 0)
        assert found.env_steps == STEPS * len(workers)
    finally:
        envs.close()


@pytest.mark.parametrize("step_loop", ["compiled", "reference"])
def test_envs_that_are_sent(step_loop):
    envs = envring.RingVectorEnv([CountingEnv] * 3, num_workers=1, step_loop=step_loop)
    try:
        envs.reset()
        envs.async_reset()
        envs.recv()
        envs.send(np.zeros(2, np.int64), [0, 2])
        envs.recv(2)
        (worker,) = envs.stats().workers
        assert worker.env_steps == 2
        assert worker.step_seconds > 0
    finally:
        envs.close()


def test_results_that_are_slow():
    envs = stepped([lambda: CountingEnv(infos="churn")], num_workers=1)
    try:
        for _ in range(100):  # beyond the steps that are watched for waiting
            envs.step(np.zeros(1, np.int64))
        assert envs.stats().workers[0].slow_rows > 0
    finally:
        envs.close()


SLOW = """
import time
from envring.testing import CountingEnv

def work(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass

class Slow(CountingEnv):
    def __init__(self):
        super().__init__(lengths=(10**6,))

    def step(self, action):
        work(0.02)  # longer than a quick step takes whose processor is taken away
        return super().step(action)

class SlowReset(CountingEnv):
    def reset(self, **arguments):
        work(0.2)
        return super().reset(**arguments)
"""


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    return f"{tmp_path}/slow.py"


def sources(num_envs, slow):
    return [envring.EnvSource(slow.get(env_id, SOURCE.env)) for env_id in range(num_envs)]


@pytest.mark.parametrize("launcher", [None, envring.Python(sys.executable)], ids=["local", "other"])
def test_the_slowest_env(launcher, slow):
    fns = sources(6, {4: f"{slow}:Slow"})
    envs = envring.RingVectorEnv(fns, num_workers=2, launcher=launcher)
    try:
        envs.reset()
        assert envs.stats().workers[1].slowest_env is None
        for _ in range(40):  # of short batches one of 16 is looked at
            envs.step(np.zeros(6, np.int64))
        first, second = envs.stats().workers
        assert first.slowest_env in first.env_ids
        assert second.slowest_env == 4
        assert first.slowest_seconds < 0.02 <= second.slowest_seconds < 10
    finally:
        envs.close()


def test_the_slowest_of_envs_that_are_sent(slow):
    envs = envring.RingVectorEnv(sources(3, {1: f"{slow}:Slow"}), num_workers=1)
    try:
        envs.async_reset()
        envs.recv(3)
        for _ in range(6):
            envs.send(np.zeros(3, np.int64), [2, 1, 0])
            envs.recv(3)
        (worker,) = envs.stats().workers
        assert worker.slowest_env == 1
        assert worker.slowest_seconds >= 0.02
    finally:
        envs.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_resets_are_not_taken_for_slow_steps(slow, mode):
    fns = sources(2, {0: f"{slow}:SlowReset", 1: f"{slow}:Slow"})
    envs = envring.RingVectorEnv(fns, num_workers=1, autoreset_mode=mode)
    try:
        envs.reset()
        for _ in range(20):
            envs.step(np.zeros(2, np.int64))
            (worker,) = envs.stats().workers
            assert worker.slowest_env in (None, 1)
            assert worker.slowest_seconds is None or worker.slowest_seconds < 0.2
        assert worker.slowest_env == 1
    finally:
        envs.close()


def test_a_worker_that_spins():
    arguments = {"num_workers": 1, "pin": False}
    envs = stepped([CountingEnv], **arguments, spin=0.0)
    try:
        assert envs.stats().workers[0].spin_seconds == 0
    finally:
        envs.close()
    envs = stepped([CountingEnv], **arguments, spin=0.01)
    try:
        worker = envs.stats().workers[0]
        assert worker.spin_seconds > 0 or worker.spins == 0
        assert worker.spin_share == worker.spin_seconds / worker.seconds
    finally:
        envs.close()


def test_another_thread_may_look_while_a_step_is_pending():
    envs = stepped([CountingEnv] * 2, num_workers=1)
    try:
        found = []
        envs.step_async(np.zeros(2, np.int64))
        thread = threading.Thread(target=lambda: found.append(envs.stats()))
        thread.start()
        thread.join()
        envs.step_wait()
        assert found[0].workers[0].batches in (STEPS, STEPS + 1)
    finally:
        envs.close()


def test_of_a_dead_worker_the_last_numbers_stay():
    envs = envring.RingVectorEnv([DyingEnv, CountingEnv], num_workers=2)
    try:
        envs.reset()
        with pytest.raises(envring.WorkerDied):
            envs.step(np.zeros(2, np.int64))
        dead, other = envs.stats().workers
        assert dead.memory is None
        assert dead.batches == 0
        assert other.memory > 0
    finally:
        envs.close()


def test_a_closed_one_has_none():
    envs = envring.RingVectorEnv([CountingEnv], num_workers=1)
    envs.close()
    with pytest.raises(ClosedEnvironmentError, match="close"):
        envs.stats()


def test_numbers_of_an_env_that_overwrites_them_are_only_wrong():
    envs = stepped([CountingEnv], num_workers=1)
    try:
        before = envs.stats()
        core = envs._batcher.segment.core
        block = core.array(0, (1 << 14,), np.uint8)
        # batches, then steps of its one env, are the first two of seven numbers
        at = block.tobytes().index(STEPS.to_bytes(8, "little") * 2)
        block[at : at + 56] = 255
        found = envs.stats()
        assert found.workers[0].env_steps == 2**64 - 1
        assert found.since(before).env_steps == 2**64 - 1 - STEPS
        assert before.since(found).workers[0].step_seconds < 0
        envs.step(np.zeros(1, np.int64))
    finally:
        envs.close()


def test_memory_has_that_of_children():
    alone = stats.memory(os.getpid())
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        held = bytearray(b"x" * (64 << 20))
        os.write(theirs, b"x")
        time.sleep(60)
        os._exit(len(held) and 1)
    try:
        os.read(ours, 1)
        assert stats.memory(os.getpid()) > alone + (64 << 20)
        assert stats.memory(child) > 64 << 20
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)
    assert stats.memory(child) is None
