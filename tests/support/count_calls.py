# SPDX-License-Identifier: MIT
"""Steps envs on a host 200 times, and prints how many system calls that took.

`LD_PRELOAD=calls.so python count_calls.py URL`
"""

import ctypes
import os
import sys

import numpy as np

import envring

STEPS = 200

counted = (ctypes.c_ulong * 3).in_dll(ctypes.CDLL(os.environ["LD_PRELOAD"]), "counted")
envs = envring.make_vec("CartPole-v1", num_envs=64, remotes=sys.argv[1])
envs.reset(seed=0)
actions = np.ones(64, np.int64)
envs.step(actions)
before = list(counted)
for _ in range(STEPS):
    envs.step(actions)
print(*(now - then for now, then in zip(counted, before, strict=True)))
envs.close()
