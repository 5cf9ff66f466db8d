# SPDX-License-Identifier: MIT
"""Step envs that live in another Python interpreter, beside envs that live in this one.

Give the prefix (a venv or conda environment) of the other interpreter. It needs numpy and gym or
gymnasium, in any version from gym 0.9 on, and nothing of envring. Without an argument the
interpreter that runs this script plays the other one.

    python examples/other_interpreter.py [PREFIX]
"""

from __future__ import annotations

import sys

import envring


def main() -> None:
    """Steps four CartPoles, two in each interpreter; then one alone."""
    prefix = envring.Prefix(sys.argv[1] if len(sys.argv) > 1 else sys.prefix)
    there = envring.EnvSource("CartPole-v1", launcher=prefix)
    here = envring.EnvSource("CartPole-v1")
    # "different": old versions of gym give CartPole's space other bounds
    envs = envring.RingVectorEnv([there, there, here, here], observation_mode="different")
    envs.reset(seed=7)
    observations, rewards, _, _, _ = envs.step([0, 1, 0, 1])
    print("observations:", observations.shape, observations.dtype)
    print("rewards:", rewards)
    envs.close()

    env = envring.make("CartPole-v1", launcher=prefix)  # a plain gymnasium.Env
    env.reset(seed=7)
    observation, reward, *_ = env.step(1)
    print("one env:", observation.shape, reward)
    env.close()


if __name__ == "__main__":
    main()
