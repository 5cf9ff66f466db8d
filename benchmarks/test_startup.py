# SPDX-License-Identifier: MIT
"""Construction, and close, of CartPoles by the number of envs, with the default context."""

import pytest

from envring.bench import workloads

ROUNDS = 5


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("num_envs", [8, 64])
def test_start(benchmark, build, num_envs):
    benchmark.group = f"start, cartpole x {num_envs}"
    make = [workloads.find("cartpole").make] * num_envs
    built = []
    benchmark.pedantic(
        lambda: built.append(build(make)),
        teardown=lambda: built.pop().close(),
        rounds=ROUNDS,
    )
    assert not built


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("num_envs", [8, 64])
def test_close(benchmark, build, num_envs):
    benchmark.group = f"close, cartpole x {num_envs}"
    make = [workloads.find("cartpole").make] * num_envs

    def ready():
        envs = build(make)
        envs.reset(seed=1)
        return (envs,), {}

    benchmark.pedantic(lambda envs: envs.close(), setup=ready, rounds=ROUNDS)
