# SPDX-License-Identifier: MIT
"""Rollouts in page-locked memory: with a torch that is made up here, and with CUDA where it is."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import sys
import types

import numpy as np
import pytest

import envring
from envring.testing import CountingEnv


class Cudart:
    """CUDA's runtime as torch has it; notes what is page-locked."""

    def __init__(self, status=0):
        self.status = status
        self.locked = {}  # address -> bytes
        self.ever = []

    def cudaHostRegister(self, address, nbytes, flags):
        assert flags == 1
        if self.status == 0:
            ctypes.string_at(address, nbytes)  # all of it is mapped
            self.locked[address] = nbytes
            self.ever.append((address, nbytes))
        return self.status

    def cudaHostUnregister(self, address):
        ctypes.string_at(address, self.locked.pop(address))  # and still is
        return 0


def torch_with(monkeypatch, runtime):
    """A torch with this runtime, or one that finds no device."""
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(
        is_available=lambda: runtime is not None, cudart=lambda: runtime
    )
    monkeypatch.setitem(sys.modules, "torch", torch)


def make(**kwargs):
    return envring.RingVectorEnv([CountingEnv] * 2, num_workers=1, slots=4, **kwargs)


def has_cuda():
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


@pytest.mark.parametrize("why", ["not installed", "no CUDA device", "cannot page-lock"])
def test_a_refusal_leaves_the_slots_to_others(monkeypatch, why):
    if why == "not installed":
        monkeypatch.setitem(sys.modules, "torch", None)
    else:
        torch_with(monkeypatch, None if why == "no CUDA device" else Cudart(status=2))
    envs = make()
    try:
        for _ in range(2):
            with pytest.raises(envring.EnvringError, match=why):
                envs.rollout(pin_memory=True)
        rollout = envs.rollout()
        rollout.reset(seed=0)
        for _ in range(3):
            rollout.step([0, 0])
        assert rollout.full
    finally:
        envs.close()


@pytest.mark.parametrize("end", ["close", "del"])
def test_it_is_locked_from_the_first_step_to_the_end(monkeypatch, end):
    runtime = Cudart()
    torch_with(monkeypatch, runtime)
    envs = make()
    rollout = envs.rollout(pin_memory=True)
    rollout.reset(seed=0)
    rollout.step([0, 0])
    ((address, nbytes),) = runtime.locked.items()
    for array in (rollout.observations, rollout.last_observations, rollout.rewards):
        begin = array.__array_interface__["data"][0]
        assert address <= begin < begin + array.nbytes <= address + nbytes
    if end == "close":
        envs.close()
    del array, rollout, envs
    gc.collect()
    assert runtime.ever == [(address, nbytes)]
    assert not runtime.locked


@pytest.mark.skipif(not has_cuda(), reason="torch with a CUDA device is needed, and is not here")
@pytest.mark.parametrize("end", ["close", "del"])
def test_cuda_copies_from_it_without_waiting(end):
    import torch

    envs = make()
    rollout = envs.rollout(pin_memory=True)
    rollout.reset(seed=0)
    for _ in range(3):
        rollout.step([0, 0])
    tensor = torch.from_numpy(rollout.observations)
    assert tensor.is_pinned()
    there = tensor.to("cuda", non_blocking=True)
    torch.cuda.synchronize()
    np.testing.assert_array_equal(there.cpu().numpy(), rollout.observations)
    if end == "close":
        envs.close()
    del envs, rollout
    gc.collect()
    assert not tensor.is_pinned()
    again = make()  # memory that CUDA still took for locked would be refused
    try:
        again.rollout(pin_memory=True).reset(seed=0)
    finally:
        again.close()
