# SPDX-License-Identifier: MIT
"""Steps seeded envs in a plain loop, under whatever interpreter runs this file.

``python plain_loop.py CONFIG.json ACTIONS.npy RESULTS.npz``. It shares no code with the workers:
which of the two APIs an env has is told, not found out, and envs are reset by hand.
"""

import importlib
import json
import sys

import numpy as np


class Old(object):
    """Gym until 0.25: seed(), observations alone from reset, one flag."""

    def __init__(self, env):
        self.env = env

    def reset(self, seed=None):
        if seed is not None:
            self.env.seed(seed)
        return self.env.reset()

    def step(self, action):
        observation, reward, done, info = self.env.step(action)
        # gym 0.10 does not say it: there only its outermost wrapper knows
        past_limit = getattr(self.env, "_past_limit", lambda: False)()
        truncated = bool(done and info.get("TimeLimit.truncated", past_limit))
        return observation, reward, bool(done and not truncated), truncated


class New(object):
    """Gym 0.26 and Gymnasium."""

    def __init__(self, env):
        self.env = env

    def reset(self, seed=None):
        return self.env.reset(seed=seed)[0]

    def step(self, action):
        return self.env.step(action)[:4]


def make(config):
    for name in config["imports"]:
        importlib.import_module(str(name))
    kwargs = {str(key): value for key, value in config["kwargs"].items()}
    module, colon, attribute = config["env"].partition(":")
    if colon:
        return getattr(importlib.import_module(str(module)), str(attribute))(**kwargs)
    return importlib.import_module(str(config["library"])).make(str(config["env"]), **kwargs)


def play(config, index, actions):
    """What one env gave; a final observation is zeros where there is none."""
    inner = make(config)
    env = (Old if config["old"] else New)(inner)
    space = inner.observation_space
    results = {name: [] for name in ("obs", "reward", "terminated", "truncated", "final")}

    def keep(observation, reward, terminated, truncated, final=None):
        results["obs"].append(np.array(observation, dtype=space.dtype))
        results["reward"].append(np.float64(reward))
        results["terminated"].append(bool(terminated))
        results["truncated"].append(bool(truncated))
        zeros = np.zeros(space.shape, space.dtype)
        results["final"].append(zeros if final is None else np.array(final, dtype=space.dtype))

    keep(env.reset(seed=config["seed"] + index), 0.0, False, False)
    ended = False
    for action in actions:
        if ended and config["mode"] == "NextStep":
            ended = False
            keep(env.reset(), 0.0, False, False)
            continue
        # arrays stay arrays, rows of a batch of numbers are NumPy's numbers
        observation, reward, terminated, truncated = env.step(action)
        ended = terminated or truncated
        if ended and config["mode"] == "SameStep":
            keep(env.reset(), reward, terminated, truncated, observation)
        else:
            keep(observation, reward, terminated, truncated)
    inner.close()
    return results


def main(config_path, actions_path, results_path):
    with open(config_path) as file:
        config = json.load(file)
    actions = np.load(actions_path)
    played = [play(config, index, actions[:, index]) for index in range(actions.shape[1])]
    batches = {}
    for name in played[0]:
        batches[name] = np.stack([results[name] for results in played], axis=1)
    np.savez(results_path, **batches)


if __name__ == "__main__":
    main(*sys.argv[1:])
