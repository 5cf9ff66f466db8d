# SPDX-License-Identifier: MIT
"""Recipes that are marked as tested: built by py-rattler, with packages of PyPI, and stepped."""

import numpy as np
import pytest

import envring
from envring.api.portal import open_directory
from prefixes import kept


@pytest.mark.parametrize("recipe", kept.TESTED)
def test_recipe_steps(recipe, kept_recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # ViZDoom writes its settings there
    source, _ = open_directory(f"recipe:{recipe}")
    env = envring.RingEnv(source, launcher=kept_recipe)
    try:
        observation, info = env.reset(seed=7)
        assert env.observation_space.contains(observation)
        assert isinstance(info, dict)
        env.action_space.seed(7)
        for _ in range(20):
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert env.observation_space.contains(observation)
            assert np.isfinite(reward)
            if terminated or truncated:
                env.reset()
    finally:
        env.close()
