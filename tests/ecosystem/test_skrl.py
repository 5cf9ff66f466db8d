# SPDX-License-Identifier: MIT
"""skrl finds out by itself that RingVectorEnv is a vector env of Gymnasium: the steps are the same.

That it learns the same is shown by examples/skrl_ppo.py, in tests/docs/test_examples.py.
"""

from functools import partial

import gymnasium as gym
import pytest
import torch
from gymnasium.vector import SyncVectorEnv
from skrl.envs.wrappers.torch import wrap_env

from envring import RingVectorEnv

FNS = [partial(gym.make, "CartPole-v1")] * 4


@pytest.mark.filterwarnings("default")
def test_wrap_env():
    traces = []
    for make in (partial(RingVectorEnv, FNS, num_workers=2), partial(SyncVectorEnv, FNS)):
        envs = make()
        envs.reset(seed=1)  # skrl's wrapper resets once, without a seed
        env = wrap_env(envs, verbose=False)
        assert type(env).__name__ == "GymnasiumWrapper"
        assert env.num_envs == 4
        torch.manual_seed(0)
        found = [env.reset()[0]]
        for _ in range(100):
            found += env.step(torch.randint(0, 2, (4, 1)))[:4]
        traces.append(found)
        env.close()
    assert all(torch.equal(a, b) for a, b in zip(*traces, strict=True))
