# SPDX-License-Identifier: MIT
"""Shows TensorBoard what the workers of a vector env do, beside a training's own curves.

    pip install 'envring[tensorboard]'  # or torch and tensorboard
    python examples/tensorboard_curves.py [FOLDER]

`tensorboard --logdir FOLDER` draws the curves. `Workers` is all that a script of yours needs.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym

import envring

try:
    from tensorboardX import SummaryWriter
except ImportError:
    from torch.utils.tensorboard import SummaryWriter


class Workers:
    """Writes what each worker has done since the last call."""

    def __init__(self, envs: envring.RingVectorEnv, writer: Any) -> None:
        """Writes to a SummaryWriter."""
        self.envs, self.writer, self.before = envs, writer, envs.stats()

    def __call__(self, step: int) -> None:
        """Call it now and then, with the number of steps so far."""
        now = self.envs.stats()
        stats, self.before = now.since(self.before), now
        self.writer.add_scalar("workers/steps_per_second", stats.steps_per_second, step)
        for number, worker in enumerate(stats.workers):
            self.writer.add_scalar(f"workers/{number}/step_share", worker.step_share, step)
            self.writer.add_scalar(f"workers/{number}/restarts", worker.restarts, step)


def main() -> None:
    """Steps CartPoles, and writes every 100 steps."""
    writer = SummaryWriter(sys.argv[1] if len(sys.argv) > 1 else "runs")
    envs = envring.RingVectorEnv([lambda: gym.make("CartPole-v1")] * 8, num_workers=2)
    envs.reset(seed=42)
    workers = Workers(envs, writer)
    for step in range(1, 501):
        envs.step(envs.action_space.sample())
        if step % 100 == 0:
            workers(step * envs.num_envs)
    print("written to", writer.logdir if hasattr(writer, "logdir") else writer.log_dir)
    writer.close()
    envs.close()


if __name__ == "__main__":
    main()
