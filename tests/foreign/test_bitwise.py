# SPDX-License-Identifier: MIT
"""Envs of old and new packages give, bit for bit, what a plain loop in their interpreter gives."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envring
from envring import EnvSource, Prefix, RingVectorEnv
from envring.testing import assert_same_batch

REFERENCE = Path(__file__).with_name("plain_loop.py")
SEED = 20
NAMES = ("obs", "reward", "terminated", "truncated")


@dataclass(frozen=True)
class Game:
    """One env: how the two sides make it, how long it is played, and what it must come across."""

    env: str
    steps: int
    num_envs: int = 3
    shows: str = "terminated"  # what must be other than zero somewhere
    kwargs: dict[str, Any] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


CART_POLE = Game("CartPole-v1", 120)
OLD_PENDULUM = Game("Pendulum-v0", 230, shows="truncated")
PENDULUM = Game("Pendulum-v1", 230, shows="truncated")
ALE = Game("ALE/Pong-v5", 100, shows="reward", imports=("ale_py",))
SHORT_ALE = Game(
    "ALE/Breakout-v5",
    30,
    shows="truncated",
    imports=("ale_py",),
    kwargs={"max_num_frames_per_episode": 60, "obs_type": "grayscale"},
)
MUJOCO = Game("Hopper-v5", 150)
RETRO = Game("retro:make", 40, num_envs=2, shows="obs", kwargs={"game": "Airstriker-Genesis"})

# (prefix, whether it has the old API, game)
CASES = [
    ("gym-0.10", True, CART_POLE),
    ("gym-0.10", True, OLD_PENDULUM),
    ("gym-0.16", True, CART_POLE),
    ("gym-0.16", True, OLD_PENDULUM),
    ("gym-0.17", True, CART_POLE),
    ("gym-0.17", True, OLD_PENDULUM),
    ("gym-0.18", True, CART_POLE),
    ("gym-0.18", True, OLD_PENDULUM),
    ("gym-0.21", True, CART_POLE),
    ("gym-0.21", True, PENDULUM),
    ("gym-0.25", True, CART_POLE),
    ("gym-0.25", True, PENDULUM),
    ("gym-0.26", False, CART_POLE),
    ("gym-0.26", False, PENDULUM),
    ("gymnasium-0.29", False, CART_POLE),
    ("gymnasium-0.29", False, PENDULUM),
    ("gymnasium-1.0", False, CART_POLE),
    ("gymnasium-1.0", False, PENDULUM),
    ("gymnasium-1.x", False, CART_POLE),
    ("gymnasium-1.x", False, PENDULUM),
    ("gymnasium-1.x", False, ALE),
    ("gymnasium-1.x", False, SHORT_ALE),
    ("gymnasium-1.x", False, MUJOCO),
    ("retro", True, RETRO),
]
IDS = [f"{prefix}-{game.env.partition('/')[2] or game.env}" for prefix, _, game in CASES]


def source(game: Game) -> EnvSource:
    return EnvSource(game.env, kwargs=game.kwargs, imports=game.imports)


def random_actions(space, steps: int) -> np.ndarray:
    space.seed(SEED)
    return np.stack([space.sample() for _ in range(steps)])


def reference(
    prefix: Path, old: bool, game: Game, mode: str, actions: np.ndarray, folder: Path
) -> dict[str, np.ndarray]:
    config = {
        "env": game.env,
        "kwargs": game.kwargs,
        "imports": list(game.imports),
        "library": "gymnasium" if prefix.name.startswith("gymnasium") else "gym",
        "old": old,
        "mode": mode,
        "seed": SEED,
    }
    (folder / "config.json").write_text(json.dumps(config))
    np.save(folder / "actions.npy", actions)
    files = [str(folder / name) for name in ("config.json", "actions.npy", "results.npz")]
    argv = [str(prefix / "bin/python"), "-E", "-s", "-W", "ignore", str(REFERENCE), *files]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, env=environ)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "results.npz") as results:
        return dict(results)


def play(envs: RingVectorEnv, actions: np.ndarray) -> dict[str, np.ndarray]:
    """The same as the reference's, from the vector env."""
    observations, _ = envs.reset(seed=SEED)
    zeros = np.zeros(envs.num_envs)
    rows = [(observations, zeros, zeros.astype(bool), zeros.astype(bool))]
    finals = [np.zeros_like(observations)]
    for batch in actions:
        *row, infos = envs.step(batch)
        rows.append(tuple(row))
        final = np.zeros_like(observations)
        for index in np.flatnonzero(infos.get("_final_obs", ())):
            final[index] = infos["final_obs"][index]
        finals.append(final)
    results = {
        name: np.stack(parts) for name, parts in zip(NAMES, zip(*rows, strict=True), strict=True)
    }
    return results | {"final": np.stack(finals)}


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize(("prefix", "old", "game"), CASES, ids=IDS)
def test_vector_env(prefix, old, game, mode, matrix_prefix, tmp_path):
    path = matrix_prefix(prefix)
    envs = RingVectorEnv(
        [source(game)] * game.num_envs,
        launcher=Prefix(path),
        num_workers=2,
        autoreset_mode=mode,
    )
    try:
        actions = random_actions(envs.action_space, game.steps)
        actual = play(envs, actions)
    finally:
        envs.close()
    expected = reference(path, old, game, mode, actions, tmp_path)
    assert expected[game.shows].any(), "too short to show anything"
    assert_same_batch(actual, {name: expected[name] for name in actual}, where=prefix)


@pytest.mark.parametrize(
    ("prefix", "old", "game"),
    [case for case in CASES if case[2] is not SHORT_ALE],
    ids=[name for name in IDS if "Breakout" not in name],
)
def test_single_env(prefix, old, game, matrix_prefix, tmp_path):
    """The same as a plain env of one interpreter is in another: whoever steps it resets it."""
    path = matrix_prefix(prefix)
    env = envring.RingEnv(source(game), launcher=Prefix(path))
    try:
        actions = random_actions(env.action_space, game.steps)
        expected = reference(path, old, game, "SameStep", actions[:, None], tmp_path)
        observation, _ = env.reset(seed=SEED)
        assert_same_batch(observation, expected["obs"][0, 0], where="reset")
        for number, action in enumerate(actions, 1):
            observation, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            kept = expected["final" if over else "obs"][number, 0]
            assert_same_batch(observation, kept, where=f"step {number}")
            told = (float(reward), bool(terminated), bool(truncated))
            assert_same_batch(told, tuple(expected[name][number, 0].item() for name in NAMES[1:]))
            if over:
                observation, _ = env.reset()
                assert_same_batch(observation, expected["obs"][number, 0], where="next reset")
    finally:
        env.close()


@pytest.mark.parametrize("prefix", ["gym-0.16", "gym-0.21", "gymnasium-1.x"])
def test_step_loop_in_python(prefix, matrix_prefix, tmp_path):
    """The compiled step loop and the one in Python agree."""
    path = matrix_prefix(prefix)
    results = []
    for loop in ("compiled", "reference"):
        envs = RingVectorEnv(
            [source(CART_POLE)] * 3, launcher=Prefix(path), num_workers=2, step_loop=loop
        )
        try:
            results.append(play(envs, random_actions(envs.action_space, 60)))
        finally:
            envs.close()
    assert_same_batch(*results)
