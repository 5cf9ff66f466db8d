# SPDX-License-Identifier: MIT
"""Tune tries gains of a controller; every trial steps its envs in processes beside it.

pip install 'envring[ray]' 'ray[tune]==2.60.*'
python examples/cluster/tune_trials.py
"""

import numpy as np
from ray import tune

import envring


def balance(config: dict[str, float]) -> dict[str, float]:
    """How long a pole stands on average, of 16."""
    envs = envring.make_vec("CartPole-v1", 16, num_workers=1)
    observations, _ = envs.reset(seed=1)
    ended = 0
    for _ in range(500):
        _, _, angle, speed = observations.T
        actions = (angle + config["gain"] * speed > 0).astype(np.int64)
        observations, _, terminations, truncations, _ = envs.step(actions)
        ended += int(np.sum(terminations | truncations))
    envs.close()
    return {"length": 16 * 500 / max(ended, 1)}


if __name__ == "__main__":
    tuner = tune.Tuner(
        tune.with_resources(balance, {"cpu": 1}),
        param_space={"gain": tune.grid_search([-0.5, 0.0, 0.5])},
        tune_config=tune.TuneConfig(metric="length", mode="max"),
    )
    best = tuner.fit().get_best_result()
    print(f"best gain: {best.config['gain']}, {best.metrics['length']:.0f} steps")
