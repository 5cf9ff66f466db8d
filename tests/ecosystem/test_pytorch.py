# SPDX-License-Identifier: MIT
"""Arrays of a rollout as PyTorch's tensors; tests/docs has the examples that need it."""

import torch

import envring
from envring.testing import CountingEnv


def test_a_rollout_is_not_copied():
    with envring.RingVectorEnv([CountingEnv] * 2, num_workers=2, slots=5) as envs:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        for action in range(4):
            rollout.step([action, action])
        for array in (rollout.observations, rollout.rewards, rollout.terminations):
            for share in (torch.from_numpy, torch.as_tensor, torch.from_dlpack):
                tensor = share(array)
                assert tensor.data_ptr() == array.ctypes.data
                assert tensor.tolist() == array.tolist()


def test_tensors_share_what_is_handed_out(monkeypatch):
    """Nobody asks for them: too late, they have what ENVRING_DEBUG=1 wrote over the batch."""
    monkeypatch.setenv("ENVRING_DEBUG", "1")
    with envring.RingVectorEnv([CountingEnv] * 2, num_workers=1, slots=3) as envs:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        rollout.step([1, 2])
        rollout.step([3, 4])
        tensor = torch.from_numpy(rollout.rewards)
        other = torch.as_tensor(rollout.rewards)
        assert tensor.tolist() == other.tolist() == rollout.rewards.tolist()
        rollout.step([5, 6])
        assert tensor[0].isnan().all()
        assert other[0].isnan().all()
