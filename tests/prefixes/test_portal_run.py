# SPDX-License-Identifier: MIT
"""An env directory written for Portal-Env, run as it is."""

import os

import gymnasium
import numpy as np
import pytest

import envring
from support import local_channel

SPEC = """
name: ladder
channels: [conda-forge]
dependencies:
  - python=VERSION
  - numpy
  - gymnasium
  - pip
  - pip:
      - portal-env
"""

SETUP = """
import os
with open(os.path.join(os.environ["CONDA_PREFIX"], "rungs"), "w") as file:
    file.write("4")
"""

MAIN = """
import os
import gymnasium
import numpy as np
from portal_env import EnvSidePortal
from portal_env.config import config

class Ladder(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, step, bonus=0.0):
        with open(os.path.join(os.environ["CONDA_PREFIX"], "rungs")) as file:
            self.rungs = int(file.read())
        self.stride, self.bonus, self.at = step, bonus, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.at += self.stride * int(action)
        done = self.at >= self.rungs
        return np.full(1, self.at, np.float32), self.bonus + done, done, False, {"at": self.at}

def main():
    EnvSidePortal(env_factory=Ladder, port=config.env_ports["ladder"]).start()

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def directory(tmp_path, channel, monkeypatch):
    """Nothing of it needs a network: conda-forge is the channel of local CPythons."""
    if local_channel.OWN not in local_channel.versions():
        pytest.skip(f"there is no Python {local_channel.OWN} to copy: env directories stay untried")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/conda-forge").symlink_to(channel.removeprefix("file://"))
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", (tmp_path / "mirror").as_uri())
    monkeypatch.setenv("PATH", os.defpath)
    home = tmp_path / "ladder"
    home.mkdir()
    (home / "spec.yml").write_text(SPEC.replace("VERSION", local_channel.OWN))
    (home / "env_setup.py").write_text(SETUP)
    (home / "env_main.py").write_text(MAIN)
    return home


def test_make_opens_a_directory(directory):
    env = envring.make(f"dir:{directory}", env_args=[2], env_kwargs={"bonus": 0.5})
    try:
        assert env.observation_space.shape == (1,)
        observation, _ = env.reset(seed=3)
        assert observation.tolist() == [0.0]
        assert env.step(1)[:4] == (np.full(1, 2, np.float32), 0.5, False, False)
        observation, reward, terminated, _, info = env.step(1)
        assert (reward, terminated, info["at"]) == (1.5, True, 4)
    finally:
        env.close()


def test_make_vec_opens_a_directory(directory):
    envs = envring.make_vec(f"dir:{directory}", num_envs=3, env_args=[1])
    try:
        envs.reset(seed=3)
        observations, _, _, _, infos = envs.step(np.array([1, 0, 1]))
        assert observations.tolist() == [[1.0], [0.0], [1.0]]
        assert infos["at"].tolist() == [1, 0, 1]
    finally:
        envs.close()


@pytest.mark.parametrize("env_side", ["portal_env", "envring"])
def test_readme_of_portal_env_with_the_import_changed(directory, env_side):
    """On both sides: the worker has no envring, but knows the name."""
    main = directory / "env_main.py"
    main.write_text(main.read_text().replace("from portal_env import", f"from {env_side} import"))
    env = envring.AgentSidePortal(str(directory), env_args=[2], env_kwargs={"bonus": 0.5})
    try:
        assert isinstance(env, gymnasium.Env)  # as Stable-Baselines3 asks
        assert env.observation_space.contains(env.reset(seed=3)[0])
        assert env.step(1)[1:4] == (0.5, False, False)
    finally:
        env.close()
    envs = envring.AgentSidePortal(str(directory), [2], num_envs=2, backend="rattler")
    try:
        assert isinstance(envs, envring.RingVectorEnv)
        assert envs.reset(seed=3)[0].shape == (2, 1)
    finally:
        envs.close()
