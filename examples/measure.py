# SPDX-License-Identifier: MIT
"""Measure an env of your own beside Gymnasium's vector envs.

The script runs the command `envring bench measure:make_env --envs 8`; further arguments are
passed on. `pip install '.[bench]'` first.

    python examples/measure.py --seconds 30 --json run.json
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym


def make_env() -> gym.Env:
    """Builds one env: the one that is measured."""
    return gym.make("CartPole-v1", max_episode_steps=200)


def main() -> None:
    """Runs the command; the exit status is 1 when one of the vector envs failed."""
    command = [sys.executable, "-m", "envring.bench", "measure:make_env", "--envs", "8"]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])  # where this module is found
    environ = os.environ | {"PYTHONPATH": path}
    sys.exit(subprocess.run([*command, *sys.argv[1:]], env=environ, check=False).returncode)


if __name__ == "__main__":
    main()
