# SPDX-License-Identifier: MIT
"""Vector envs in the daemonic processes of SubprocVecEnv and of torch's DataLoader."""

import pytest
from stable_baselines3.common.vec_env import SubprocVecEnv
from torch.utils.data import DataLoader, Dataset

from support.nested import NAMES, Nesting, check, outcome
from support.processes import CONTEXTS


@pytest.mark.parametrize("context", CONTEXTS)
def test_subproc_vec_env(context):
    envs = SubprocVecEnv([Nesting] * 2, start_method=context)
    try:
        envs.reset()
        for said in envs.get_attr("said"):
            for name, each in said.items():
                check(name, each)
    finally:
        envs.close()


class Outcomes(Dataset):
    def __len__(self):
        return len(NAMES)

    def __getitem__(self, i):
        return outcome(NAMES[i])


@pytest.mark.parametrize("context", CONTEXTS)
def test_data_loader(context):
    loader = DataLoader(Outcomes(), batch_size=1, num_workers=1, multiprocessing_context=context)
    said = [each for (each,) in loader]
    assert len(said) == len(NAMES)
    for name, each in zip(NAMES, said, strict=True):
        check(name, each)
