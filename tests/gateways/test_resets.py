# SPDX-License-Identifier: MIT
"""Resets with neither seed nor options, which travel as steps do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import envring
import support
from envring import EnvSource, RemoteEnvError, WireError, WorkerTimeout
from envring.gateways.runtimes import Runtime
from envring.testing.conformance_base import quiet
from envring.transport import frames
from support.processes import wait_until

ENV = f"{Path(support.__path__[0], 'plain_resets.py')}:Resets"


pytestmark = pytest.mark.usefixtures("no_sessions_left")


@pytest.fixture(scope="module")
def host():
    runtime = Runtime("default", (ENV,), allow_kwargs=True)
    with envring.serve(runtimes=[runtime], grace=0.3) as host:
        yield host


def make(host, num_envs=2, **options):
    kwargs = {name: options.pop(name) for name in ("raises", "hangs", "informs") if name in options}
    source = EnvSource.elsewhere(ENV, kwargs=kwargs)
    return envring.RingVectorEnv([source] * num_envs, remotes=host.url, **options)


def the_path(host):
    (entry,) = host.sessions.all()
    return entry.session._path


def test_they_take_the_short_way(host):
    envs = make(host)
    envs.reset(seed=0)
    envs.step(np.zeros(2, int))
    path = the_path(host)
    before = path.resets
    for count in (1, 2, 3):
        obs, infos = envs.reset()
        assert obs[:, 0].tolist() == [count] * 2
        assert infos == {}
    assert path.resets == before + 3
    (entry,) = host.sessions.all()
    wait_until(lambda: entry.session.steps, 10, "steps are booked")
    assert entry.session.steps == 2
    envs.close()


@pytest.mark.parametrize("informs", [False, True])
def test_values_are_those_of_resets_by_message(host, informs):
    ours, other = (make(host, informs=informs) for _ in range(2))
    for envs in (ours, other):
        envs.reset(seed=5)
    for _ in range(6):
        one = ours.reset()
        two = other.reset(options={}) if not informs else other.reset(seed=[None, None])
        np.testing.assert_array_equal(one[0], two[0])
        assert one[1].keys() == two[1].keys()
        actions = np.zeros(2, int)
        np.testing.assert_array_equal(ours.step(actions)[0], other.step(actions)[0])
    ours.close()
    other.close()


def test_infos(host):
    env = envring.RingEnv(EnvSource.elsewhere(ENV, kwargs={"informs": True}), remotes=host.url)
    infos = [env.reset()[1] for _ in range(4)]
    assert infos == [{"resets": n, "options": None} for n in range(4)]
    env.close()


def test_one_that_raises(host):
    envs = make(host, raises=2)
    envs.reset()
    envs.reset()
    with quiet(), pytest.raises(RemoteEnvError, match="this reset fails"):
        envs.reset()
    assert envs.reset()[0][:, 0].tolist() == [3, 3]
    envs.close()


def test_one_that_takes_too_long(host):
    envs = make(host, hangs=2, reset_timeout=1.5)
    envs.reset()
    envs.reset()
    began = time.monotonic()
    with quiet(), pytest.raises(WorkerTimeout, match="reset"):
        envs.reset()
    assert time.monotonic() - began < 20
    envs.close()


def test_a_step_may_be_shorter_than_a_reset(host):
    """The limit of a step is not that of a reset that is under way."""
    envs = make(host, hangs=2, step_timeout=0.1, reset_timeout=1.5)
    envs.reset()
    envs.reset()
    began = time.monotonic()
    with quiet(), pytest.raises(WorkerTimeout):
        envs.reset()  # the third one
    assert time.monotonic() - began > 0.9
    envs.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_autoreset_that_is_due_is_not_made_twice(host, mode):
    envs = make(host, autoreset_mode=mode)
    envs.reset()
    envs.step(np.zeros(2, int))
    before = 1 if mode == "SameStep" else 0
    assert envs.reset()[0][:, 0].tolist() == [before + 1] * 2
    after = before + 1 + (mode == "SameStep")
    assert envs.step(np.zeros(2, int))[0][:, 0].tolist() == [after] * 2
    envs.close()


def test_one_with_actions_is_refused(host):
    envs = make(host)
    envs.reset()
    pool = envs._batcher.pool
    pool._begin(frames.STEP, [(2).to_bytes(4, "little"), bytes(8)], 0)
    with pytest.raises(WireError, match="8 bytes"):
        pool.wait(time.monotonic() + 20)
    envs.close()
