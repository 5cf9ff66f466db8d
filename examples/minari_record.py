# SPDX-License-Identifier: MIT
"""A Minari dataset from a vector env: many episodes at once, each whole.

`pip install 'minari[hdf5]' pillow` first. It plays CartPole-v1 in worker processes, writes the
episodes into a dataset, and reads it again. MINARI_DATASETS_PATH says where datasets are.

    python examples/minari_record.py [--episodes 200] [--envs 16] [--plain]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium.vector import SyncVectorEnv
from minari.data_collector import EpisodeBuffer

from envring import RingVectorEnv

NAME = "cartpole/envring-v0"


def play(envs: Any, count: int) -> list[EpisodeBuffer]:
    """The first episodes that end, of a vector env that resets in the same step.

    To take the first that end prefers short ones; so each env's last episodes are played to their
    end, and all are kept.
    """
    random = np.random.default_rng(1)
    size = envs.num_envs
    observations, _ = envs.reset(seed=1)
    open_: list[dict[str, list[Any]]] = [{} for _ in range(size)]
    done: list[EpisodeBuffer] = []
    playing = np.ones(size, bool)
    for i in range(size):
        open_[i] = {"observations": [observations[i]], "actions": [], "rewards": []}
    while playing.any():
        _, _, angles, speeds = observations.T
        actions = (angles + 0.3 * speeds + random.normal(0, 0.1, size) > 0).astype(np.int64)
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        for i in np.flatnonzero(playing).tolist():
            ended = bool(terminations[i] or truncations[i])
            episode = open_[i]
            episode["actions"].append(actions[i])
            episode["rewards"].append(rewards[i])
            last = infos["final_obs"][i] if ended else observations[i]
            episode["observations"].append(last)
            if not ended:
                continue
            length = len(episode["rewards"])
            flags = np.zeros((2, length), bool)
            flags[:, -1] = terminations[i], truncations[i]
            arrays = {key: np.array(values) for key, values in episode.items()}
            ends = {"terminations": flags[0], "truncations": flags[1]}
            done.append(EpisodeBuffer(id=len(done), **arrays, **ends))
            open_[i] = {"observations": [observations[i]], "actions": [], "rewards": []}
            playing[i] = len(done) < count
    return done


def main() -> None:
    """Plays, writes, and reads."""
    parser = argparse.ArgumentParser(description="a Minari dataset from a vector env")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--plain", action="store_true", help="with SyncVectorEnv")
    arguments = parser.parse_args()
    kind: Any = SyncVectorEnv if arguments.plain else RingVectorEnv
    envs = kind([partial(gym.make, "CartPole-v1")] * arguments.envs, autoreset_mode="SameStep")
    began = time.perf_counter()
    episodes = play(envs, arguments.episodes)
    seconds = time.perf_counter() - began
    envs.close()
    if NAME in minari.list_local_datasets():
        minari.delete_dataset(NAME)
    minari.create_dataset_from_buffers(
        NAME,
        episodes,
        env="CartPole-v1",
        algorithm_name="a straight line",
        author="envring",
        author_email="none",
        code_permalink="examples/minari_record.py",
    )
    dataset = minari.load_dataset(NAME)
    print(f"{dataset.total_episodes} episodes, {dataset.total_steps} steps in {seconds:.1f} s")
    returns = [float(np.sum(episode.rewards)) for episode in dataset.iterate_episodes()]
    print(f"mean return: {np.mean(returns):.1f}")


if __name__ == "__main__":
    main()
