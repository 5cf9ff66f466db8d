# SPDX-License-Identifier: MIT
"""Statistics words of the segment, and constants that are written down on both sides."""

import itertools
import time

import numpy as np
import pytest

from envring import RingVectorEnv
from envring._foreign.envring_worker import commands
from envring.core import _core
from envring.testing import CountingEnv


def test_commands_have_the_same_numbers_on_both_sides():
    assert (commands.OP_STEP, commands.OP_MESSAGE) == (_core.OP_STEP, _core.OP_MESSAGE)


@pytest.mark.parametrize("step_loop", ["compiled", "reference"])
def test_workers_count_what_they_do(step_loop):
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=2, step_loop=step_loop)
    try:
        envs.reset()
        for _ in range(100):  # beyond the steps that are watched for waiting
            envs.step(np.zeros(3, np.int64))
        core = envs._batcher.segment.core
        for worker, slice_size in enumerate((1, 2)):
            stats = core.stats(worker)
            assert stats["batches"] == 100
            assert stats["env_steps"] == 100 * slice_size
            assert stats["busy_ns"] > 0
        with pytest.raises(IndexError):
            core.stats(2)
        spins, parks, _ = envs._batcher.pool.port.wait_stats()
        assert spins + parks > 0
    finally:
        envs.close()


@pytest.fixture
def timed():
    """Two workers whose segment is timed, one batch done."""
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=2)
    envs.reset()
    envs._batcher.segment.core.set_timed(True)
    envs.step(np.zeros(3, np.int64))
    yield envs
    envs.close()


def moments(envs):
    """Moments of the last batch: the caller's four, then one row of four per worker."""
    words = np.zeros(4 + 4 * envs.num_workers, np.int64)
    envs._batcher.pool.port.moments(words)
    return words[:4], words[4:].reshape(-1, 4)


def test_a_timed_batch_says_when_it_was_where(timed):
    before = time.monotonic_ns()
    _, (first, second) = moments(timed)
    timed.step(np.zeros(3, np.int64))
    (seq, posted, rung, complete), rows = moments(timed)
    assert before <= posted <= rung <= complete <= time.monotonic_ns()
    assert seq == 3  # after a reset and a step
    for (env_ns, began, ended, finished), earlier in zip(rows, (first, second), strict=True):
        assert before <= began < ended <= complete
        assert 0 < env_ns - earlier[0] < ended - began
        assert earlier[2] < finished <= began  # the batch before was published


def test_a_segment_that_is_not_timed_keeps_its_moments(timed):
    core = timed._batcher.segment.core
    timed.step(np.zeros(3, np.int64))
    core.set_timed(False)
    assert not core.timed
    before = [core.stats(worker) for worker in (0, 1)]
    moments_before = moments(timed)[0][1:]
    for _ in range(100):  # both ways through a batch: watched and not
        timed.step(np.zeros(3, np.int64))
    after = [core.stats(worker) for worker in (0, 1)]
    for name in ("env_ns", "began_ns", "ended_ns"):
        assert [stats[name] for stats in before] == [stats[name] for stats in after]
    assert list(moments(timed)[0][1:]) == list(moments_before)


def test_the_watched_steps_and_the_served_ones_are_timed(timed):
    core = timed._batcher.segment.core
    seen = [core.stats(0)]
    for _ in range(100):
        timed.step(np.zeros(3, np.int64))
        seen.append(core.stats(0))
    for name in ("env_ns", "began_ns", "ended_ns"):
        values = [stats[name] for stats in seen]
        assert all(a < b for a, b in itertools.pairwise(values)), name


def test_envs_of_this_process_are_timed_too():
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=0)
    try:
        envs.reset()
        core = envs._batcher.segment.core
        envs.step(np.zeros(3, np.int64))
        assert core.stats(0)["env_ns"] == 0
        core.set_timed(True)
        envs.step(np.zeros(3, np.int64))
        stats = core.stats(0)
        assert 0 < stats["env_ns"] < stats["ended_ns"] - stats["began_ns"]
    finally:
        envs.close()


def test_messages_between_batches_change_no_moment(timed):
    before = moments(timed)[0]
    timed._batcher.pool.tell([("templates", [])] * 2)
    assert list(moments(timed)[0]) == list(before)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(11, np.int64),
        np.zeros(12),
        np.zeros((12, 1), np.int64),
        np.zeros(24, np.int64)[::2],
    ],
)
def test_moments_need_room(timed, wrong):
    with pytest.raises(ValueError, match=r"int64 \(12,\)"):
        timed._batcher.pool.port.moments(wrong)
