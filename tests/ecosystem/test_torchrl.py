# SPDX-License-Identifier: MIT
"""TorchRL's GymWrapper takes RingVectorEnv, and rolls out what it rolls out over SyncVectorEnv."""

import warnings
from functools import partial
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from tensordict.nn import TensorDictModule
from torchrl.envs import GymWrapper, RewardSum, TransformedEnv, check_env_specs
from torchrl.modules import ProbabilisticActor

from envring import RingVectorEnv

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of itself
    from torchrl.collectors import Collector

pytestmark = pytest.mark.filterwarnings("ignore")  # of TorchRL


class Mixed(gym.Env):
    """Observations and actions of several parts."""

    observation_space = spaces.Dict(
        {
            "b": spaces.Box(0, 255, (4, 4, 1), np.uint8),
            "a": spaces.Box(-1, 1, (3,), np.float64),
            "n": spaces.Discrete(9),
            "m": spaces.MultiDiscrete([3, 4]),
        }
    )
    action_space = spaces.MultiDiscrete([3, 4])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._see(0), {}

    def step(self, action):
        ends = self.np_random.random(2) < 0.1
        return self._see(int(action.sum())), float(action[0]), *map(bool, ends), {}

    def _see(self, n):
        random = self.np_random
        return {
            "b": random.integers(0, 256, (4, 4, 1), np.uint8),
            "a": random.uniform(-1, 1, 3),
            "n": np.int64(n),
            "m": random.integers(0, 3, 2),
        }


MODES = ("Disabled", "SameStep")
# TorchRL makes "spawn" the default
KINDS = (partial(RingVectorEnv, num_workers=2, context="fork"), SyncVectorEnv)
FNS = {
    "CartPole-v1": [partial(gym.make, "CartPole-v1")] * 5,
    "Pendulum-v1": [partial(gym.make, "Pendulum-v1", max_episode_steps=30)] * 5,
    "dict": [Mixed] * 5,
}


def same(ours, theirs):
    """Whether two TensorDicts have the same keys, and the same bits under each."""
    one, other = [dict(td.items(True, True, sort=True)) for td in (ours, theirs)]
    assert list(one) == list(other)
    for key, value in one.items():
        assert value.dtype == other[key].dtype, key
        assert torch.equal(value.view(torch.uint8), other[key].view(torch.uint8)), key
    return ours.batch_size == theirs.batch_size


def rolled(kind, fns, mode, steps=150):
    env = GymWrapper(kind(fns, autoreset_mode=mode))
    assert env.batch_size == torch.Size([len(fns)])
    torch.manual_seed(0)
    env.set_seed(4)
    found = [env.rollout(steps, break_when_any_done=False) for _ in range(2)]
    env.close()
    return torch.stack(found)


@pytest.fixture(scope="module", autouse=True)
def first():
    """TorchRL keeps the first wrapper for good: so let it have no workers."""
    GymWrapper(RingVectorEnv([Mixed], num_workers=0, autoreset_mode="Disabled")).close()


# in the mode SameStep it refuses dicts, those of SyncVectorEnv, too
@pytest.mark.parametrize(
    ("name", "mode"), [each for each in product(FNS, MODES) if each != ("dict", "SameStep")]
)
def test_rollouts_are_those_over_sync(name, mode):
    ours, theirs = [rolled(kind, FNS[name], mode) for kind in KINDS]
    assert same(ours, theirs)
    assert theirs["next", "done"].sum() > 10


def test_next_step_is_refused():
    envs = RingVectorEnv(FNS["CartPole-v1"], num_workers=0)
    with pytest.raises(RuntimeError, match="SAME_STEP or DISABLED"):
        GymWrapper(envs)
    envs.close()


@pytest.mark.parametrize("mode", MODES)
def test_specs(mode):
    env = GymWrapper(KINDS[0](FNS["CartPole-v1"], autoreset_mode=mode))
    check_env_specs(env)
    env.close()


@pytest.mark.parametrize("mode", MODES)
def test_collected_with_a_policy(mode):
    batches = []
    for kind in KINDS:
        torch.manual_seed(3)
        net = TensorDictModule(torch.nn.Linear(4, 2), ["observation"], ["logits"])
        actor = ProbabilisticActor(
            net, in_keys=["logits"], distribution_class=torch.distributions.OneHotCategorical
        )
        envs = GymWrapper(kind(FNS["CartPole-v1"], autoreset_mode=mode))
        envs.set_seed(5)
        env = TransformedEnv(envs, RewardSum())
        collector = Collector(env, actor, frames_per_batch=200, total_frames=800)
        batches.append(torch.stack([data.clone() for data in collector]))
        collector.shutdown()
    assert same(*batches)
    assert batches[1]["next", "done"].sum() > 10


def test_infos():
    def make():
        return Counting(gym.make("CartPole-v1", max_episode_steps=9))

    rollouts = []
    for kind in KINDS:
        env = GymWrapper(kind([make] * 3, autoreset_mode="Disabled"))
        env = env.auto_register_info_dict()
        torch.manual_seed(0)
        env.set_seed(1)
        rollouts.append(env.rollout(30, break_when_any_done=False))
        env.close()
    assert same(*rollouts)
    assert rollouts[0]["next", "count"].max() > 3


class Counting(gym.Wrapper):
    """Tells how many steps the episode has."""

    def reset(self, **kwargs):
        self.count = 0
        return self.env.reset(**kwargs)[0], {"count": 0.0}

    def step(self, action):
        self.count += 1
        return *self.env.step(action)[:4], {"count": float(self.count)}
