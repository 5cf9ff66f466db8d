# SPDX-License-Identifier: MIT
"""The workloads keep to their spaces, and names that are none are refused."""

import time

import pytest

from envring.bench import workloads


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_a_workload_keeps_to_its_space(name):
    workload = workloads.find(name)
    env = workload.make()
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert info == {}
    observation, _, terminated, truncated, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    assert not terminated
    assert not truncated
    assert len(info) == (5 if name == "info5" else 0)
    env.close()


def test_spin100_works_for_100_us():
    env = workloads.find("spin100").make()
    start = time.perf_counter()
    env.step(0)
    assert time.perf_counter() - start >= 100e-6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cartpool", "no workload 'cartpool'; use one of cartpole, "),
        ("no_such_module:env", "cannot be loaded"),
        ("math:no_such_name", "cannot be loaded"),
        ("math:pi", "is not callable"),
    ],
)
def test_a_workload_that_is_none_is_refused(name, text):
    with pytest.raises(ValueError, match=text):
        workloads.find(name)
