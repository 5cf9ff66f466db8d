# SPDX-License-Identifier: MIT
"""What tests of restarts share: envs of `told_envs` elsewhere, and deaths of their workers."""

from pathlib import Path

from ecosystem import told_envs
from envring import EnvSource
from support.restarts import kill

ENVS = f"{Path(told_envs.__file__)}:wrapped"


def sources(count):
    return [EnvSource(ENVS, args=(rank,)) for rank in range(count)]


def kill_worker(envs, number):
    kill(envs.vector_env.processes[number].pid)
