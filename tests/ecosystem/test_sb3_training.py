# SPDX-License-Identifier: MIT
"""SB3's algorithms, wrappers and its own tests on RingVecEnv."""

import hashlib
import os
import re
import subprocess
import sys
import tarfile

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
    is_vecenv_wrapped,
)

from ecosystem.same import difference
from envring.adapters.sb3 import RingVecEnv

forked = {"start_method": "fork", "num_workers": 2}


def made(env_id, count, cls, **kwargs):
    options = forked if cls is RingVecEnv else {}
    return make_vec_env(env_id, count, 3, vec_env_cls=cls, vec_env_kwargs=options, **kwargs)


def digest(model):
    """A hash of all weights."""
    found = hashlib.sha256()
    for name, value in sorted(model.policy.state_dict().items()):
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


TRAINED = {
    "PPO": (PPO, "CartPole-v1", {"n_steps": 64, "batch_size": 64, "n_epochs": 2}, 1024),
    "PPO of numbers": (PPO, "Pendulum-v1", {"n_steps": 64, "batch_size": 64, "n_epochs": 2}, 1024),
    "DQN": (DQN, "CartPole-v1", {"learning_starts": 64, "buffer_size": 1000}, 256),
    "SAC": (SAC, "Pendulum-v1", {"learning_starts": 64, "buffer_size": 1000}, 160),
}


@pytest.mark.parametrize("name", TRAINED)
def test_weights_are_those_learnt_with_dummy(name):
    algorithm, env_id, options, steps = TRAINED[name]
    digests, returns = [], []
    for cls in (RingVecEnv, DummyVecEnv):
        env = made(env_id, 4, cls)
        model = algorithm("MlpPolicy", env, seed=5, device="cpu", **options)
        before = digest(model)
        model.learn(steps)
        returns.append([info["r"] for info in model.ep_info_buffer])
        digests.append(digest(model))
        env.close()
        assert digests[-1] != before
    assert digests[0] == digests[1]
    assert returns[0] == returns[1]


WRAPPERS = {
    "normalize": VecNormalize,
    "monitor": VecMonitor,
    "stack": lambda env: VecFrameStack(env, 3),
    "transpose": lambda env: VecTransposeImage(env),
    "all": lambda env: VecNormalize(VecFrameStack(VecMonitor(env), 2), norm_obs=False),
}


class Picture(gym.Env):
    """Pictures of 8 x 8."""

    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = spaces.Discrete(2)
    render_mode = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._see(), {}

    def step(self, action):
        return self._see(), float(action), bool(self.np_random.random() < 0.1), False, {}

    def _see(self):
        return self.np_random.integers(0, 256, (8, 8, 3), np.uint8)


@pytest.mark.filterwarnings("ignore:The environment is already wrapped with a `Monitor`")
@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers(name):
    make = Picture if name == "transpose" else "CartPole-v1"
    envs = [WRAPPERS[name](made(make, 3, cls)) for cls in (RingVecEnv, DummyVecEnv)]
    results = [[env.reset()] for env in envs]
    rng = np.random.default_rng(2)
    for _ in range(60):
        actions = rng.integers(0, 2, 3)
        for env, found in zip(envs, results, strict=True):
            found.append(env.step(actions))
            for info in found[-1][3]:
                info.get("episode", {}).pop("t", None)
    assert difference(*results) == ""
    assert is_vecenv_wrapped(envs[0], type(envs[0]))
    assert envs[0].unwrapped.env_is_wrapped(Monitor) == [True] * 3
    for env in envs:
        env.close()


def test_evaluate_policy():
    found = []
    for cls in (RingVecEnv, DummyVecEnv):
        env = made("CartPole-v1", 3, cls)
        model = PPO("MlpPolicy", env, seed=5, n_steps=16, batch_size=16, device="cpu")
        found.append(evaluate_policy(model, env, 7, return_episode_rewards=True))
        env.close()
    assert found[0] == found[1]
    assert len(found[0][0]) == 7


class Masked(gym.Env):
    """Allows two actions of four, others in each step."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(4)
    render_mode = None
    count = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_masks()[action]
        self.count += 1
        return np.full(2, 0.1, np.float32), 1.0, self.count > 9, False, {}

    def action_masks(self):
        return (np.arange(4) + self.count) % 4 < 2


def test_masks():
    digests = []
    for cls in (RingVecEnv, DummyVecEnv):
        env = made(Masked, 3, cls)
        assert is_masking_supported(env)
        assert get_action_masks(env).tolist() == [[True, True, False, False]] * 3
        model = MaskablePPO("MlpPolicy", env, seed=5, n_steps=32, batch_size=32, device="cpu")
        model.learn(192)
        digests.append(digest(model))
        env.close()
    assert digests[0] == digests[1]


# -- SB3's own tests ----------------------------------------------------------------------------

IN_PLACE = """
import functools
import stable_baselines3.common.vec_env as vec_env
from envring.adapters.sb3 import RingVecEnv

# a fork imports nothing anew; tests that name a start method have it
vec_env.SubprocVecEnv = type("SubprocVecEnv", (RingVecEnv,), {
    "__init__": lambda self, fns, start_method="fork", **kwargs:
        RingVecEnv.__init__(self, fns, start_method, **kwargs)
})
"""


def test_sb3s_own_tests(tmp_path):
    version = stable_baselines3.__version__
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    command += ["--no-build-isolation", f"stable_baselines3=={version}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    if done.returncode:
        pytest.skip(f"SB3'S OWN TESTS ARE NOT RUN: no source of {version} ({done.stderr[-200:]})")
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    tests = next(tmp_path.glob("*/tests"))
    (tests / "conftest.py").write_text(IN_PLACE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_vec_envs.py"],
        cwd=tests,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 30
