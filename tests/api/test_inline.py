# SPDX-License-Identifier: MIT
"""num_workers=0: no process stands between caller and envs, and yet nothing is shared."""

import gymnasium
import numpy as np
import pytest

from envring import RingVectorEnv


class Parts(gymnasium.Env):
    """Hands out arrays of its own in an observation of no fixed size."""

    observation_space = gymnasium.spaces.Sequence(gymnasium.spaces.Box(-1, 1, (2,)))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.part = np.zeros(2, np.float32)
        return (self.part,), {}

    def step(self, action):
        self.part += 0.25
        return (self.part,), 0.0, False, False, {}


@pytest.mark.parametrize("step_loop", ["compiled", "reference"])
def test_kept_observations_are_the_callers_own(step_loop):
    envs = RingVectorEnv([Parts, Parts], num_workers=0, step_loop=step_loop)
    try:
        first, _ = envs.reset()
        second, *_ = envs.step([0, 0])
        assert first[0][0].tolist() == [0, 0], "an env's buffer, written by the next step"
        second[1][0][...] = 9  # what the caller does with it is his own business
        third, _ = envs.reset(options={"reset_mask": np.array([True, False])})
        assert third[1][0].tolist() == [0.25, 0.25]
    finally:
        envs.close()
