# SPDX-License-Identifier: MIT
"""RLlib's env runners make our vector env by its id; PPO learns what it learns with SyncVectorEnv.

examples/cluster/rllib_ppo.py is the script; make test-cluster runs it with remote runners.
"""

import hashlib

import pytest
import ray
from ray.rllib.algorithms.ppo import PPOConfig

pytestmark = [
    pytest.mark.leaves("Ray keeps processes and files until its shutdown"),
    pytest.mark.filterwarnings("ignore"),  # of Ray
]


@pytest.fixture(scope="module", autouse=True)
def instance(tmp_path_factory):
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def learnt(env_id, mode, **env_config):
    """Returns of each iteration, and a hash of the weights."""
    config = (
        PPOConfig()
        .environment(env_id, env_config=env_config)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4, gym_env_vectorize_mode=mode)
        .training(train_batch_size=512, minibatch_size=128, num_epochs=2)
        .debugging(seed=3, log_level="ERROR")
    )
    algorithm = config.build_algo()
    returns = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(2)]
    weights = algorithm.get_module().state_dict()
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + value.numpy().tobytes())
    kind = type(algorithm.env_runner.env.unwrapped).__name__
    algorithm.stop()
    return returns, digest.hexdigest(), kind


def test_weights_are_those_learnt_with_sync():
    ours = learnt("envring:envring/CartPole-v1", "vector_entry_point", num_workers=2)
    theirs = learnt("CartPole-v1", "sync")
    assert (ours[2], theirs[2]) == ("RingVectorEnv", "SyncVectorEnv")
    assert ours[:2] == theirs[:2]
    assert ours[0][0] > 10
