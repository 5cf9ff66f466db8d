# SPDX-License-Identifier: MIT
"""Host vector envs in worker processes: Gymnasium's own, EnvPool's and ALE's.

Each worker steps a batch of its own in one call. EnvPool (`pip install envpool`) and ALE
(`pip install ale-py`) are shown if they are installed.

    python examples/vector_envs.py
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

import envring


def numpy_cartpole() -> Any:
    """Eight CartPoles in NumPy."""
    return CartPoleVectorEnv(num_envs=8)


def envpool_cartpole() -> Any:
    """Eight CartPoles of EnvPool, which has one thread in each worker then."""
    import envpool

    return envpool.make_gymnasium("CartPole-v1", num_envs=8, num_threads=1)


def atari_pong() -> Any:
    """Four Pongs of ALE; its autoreset mode is an argument."""
    from ale_py.vector_env import AtariVectorEnv

    return AtariVectorEnv("pong", num_envs=4, num_threads=1, autoreset_mode="SameStep")


def show(name: str, make: Callable[[], Any], mode: str = "NextStep") -> None:
    """Steps two workers' vector envs."""
    envs = envring.RingVectorEnv([make] * 2, num_workers=2, autoreset_mode=mode)
    observations, infos = envs.reset(seed=0)  # vector env 0 gets the seed 0, the next one 0 + k
    for _ in range(20):
        observations, rewards, _, _, infos = envs.step(envs.action_space.sample())
    print(f"{name}: {envs.num_envs} envs, observations {observations.shape} {observations.dtype},")
    print(f"    rewards {rewards.shape}, infos {sorted(infos)}")
    envs.close()


def main() -> None:
    """Shows what is installed."""
    show("CartPoleVectorEnv", numpy_cartpole)
    if importlib.util.find_spec("envpool"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it takes its seed when it is made
            show("EnvPool", envpool_cartpole)
    if importlib.util.find_spec("ale_py"):
        show("ALE", atari_pong, "SameStep")


if __name__ == "__main__":
    main()
