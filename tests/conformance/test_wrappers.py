# SPDX-License-Identifier: MIT
"""Gymnasium's vector wrappers give what they give around SyncVectorEnv."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

from envring import RingVectorEnv
from envring.testing import CountingEnv, assert_same_batch
from envring.testing.conformance_base import same_results
from envring.testing.conformance_values import counting, sampling

HALF = Box(-1, 1, (4,), np.float64)
EVERY_MODE = ["NextStep", "SameStep", "Disabled"]
CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "record_episode_statistics": (wrappers.RecordEpisodeStatistics, EVERY_MODE),
    "normalize_observation": (wrappers.NormalizeObservation, ["NextStep"]),
    "normalize_reward": (wrappers.NormalizeReward, ["NextStep", "SameStep"]),
    "clip_reward": (lambda envs: wrappers.ClipReward(envs, 0.2, 1.2), EVERY_MODE),
    "transform_reward": (lambda envs: wrappers.TransformReward(envs, np.square), EVERY_MODE),
    "transform_observation": (
        lambda envs: wrappers.TransformObservation(
            envs, lambda batch: batch / 2, single_observation_space=HALF
        ),
        ["NextStep", "Disabled"],
    ),
    "vectorize_transform_observation": (
        lambda envs: wrappers.VectorizeTransformObservation(
            envs,
            gymnasium.wrappers.TransformObservation,
            func=lambda single: single.astype(np.float64) / 2,
            observation_space=HALF,
        ),
        ["NextStep", "Disabled"],
    ),
    "dtype_observation": (lambda envs: wrappers.DtypeObservation(envs, np.float64), ["NextStep"]),
    "transform_action": (
        lambda envs: wrappers.TransformAction(envs, lambda actions: 7 - actions),
        EVERY_MODE,
    ),
    "vectorize_transform_action": (
        lambda envs: wrappers.VectorizeTransformAction(
            envs,
            gymnasium.wrappers.TransformAction,
            func=lambda action: 7 - action,
            action_space=envs.single_action_space,
        ),
        EVERY_MODE,
    ),
}


class Oracle(SyncVectorEnv):
    """Leaves the caller's options alone, so that wrappers find their ``reset_mask``."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed, options=None if options is None else dict(options))


def drive(wrapped: Any, oracle: Any, mode: str, steps: int = 12) -> None:
    same_results(wrapped.reset(seed=3), oracle.reset(seed=3), "reset")
    ended = np.zeros(wrapped.num_envs, bool)
    for number in range(steps):
        if mode == "Disabled" and ended.any():
            same_results(
                wrapped.reset(options={"reset_mask": ended.copy()}),
                oracle.reset(options={"reset_mask": ended.copy()}),
                f"reset {number}",
            )
        actions = np.full(wrapped.num_envs, number % 2)
        actual, expected = wrapped.step(actions.copy()), oracle.step(actions)
        for infos in (actual[4], expected[4]):
            drop_times(infos)
        same_results(actual, expected, f"step {number}")
        ended = expected[2] | expected[3]


def drop_times(infos: dict[str, Any]) -> None:
    """RecordEpisodeStatistics measures seconds, which differ."""
    for part in (infos, infos.get("final_info", {})):
        if isinstance(part.get("episode"), dict):
            part["episode"].pop("t", None)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("name", "mode"), [(name, mode) for name, (_, modes) in CASES.items() for mode in modes]
)
def test_wrapper(name: str, mode: str, workers: int) -> None:
    wrap = CASES[name][0]
    fns = counting(3)
    wrapped = wrap(RingVectorEnv(fns, autoreset_mode=mode, num_workers=workers))
    oracle = wrap(Oracle(fns, autoreset_mode=mode))
    try:
        assert wrapped.observation_space == oracle.observation_space
        assert wrapped.action_space == oracle.action_space
        assert wrapped.num_envs == oracle.num_envs
        drive(wrapped, oracle, mode)
    finally:
        wrapped.close()
        oracle.close()
    assert wrapped.closed


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_dict_info_to_list(mode: str) -> None:
    fns = sampling(Box(-1, 1, (2,), np.float32), infos="steady")
    wrapped = wrappers.DictInfoToList(RingVectorEnv(fns, autoreset_mode=mode, num_workers=2))
    oracle = wrappers.DictInfoToList(SyncVectorEnv(fns, autoreset_mode=mode))
    try:
        assert_same_batch(wrapped.reset(seed=1), oracle.reset(seed=1))
        for _ in range(8):
            if mode == "Disabled":
                assert_same_batch(wrapped.reset(), oracle.reset())
            actual, expected = wrapped.step([0, 1, 2]), oracle.step([0, 1, 2])
            assert_same_batch(actual[:4], expected[:4])
            for mine, theirs in zip(actual[4], expected[4], strict=True):
                assert_same_batch(mine, {key: theirs[key] for key in mine})
                assert set(mine) == set(theirs)
    finally:
        wrapped.close()
        oracle.close()


def test_several_wrappers() -> None:
    """As training scripts stack them, around registered environments."""

    def wrap(envs: Any) -> Any:
        envs = wrappers.RecordEpisodeStatistics(envs)
        envs = wrappers.NormalizeObservation(envs)
        return wrappers.NormalizeReward(envs)

    fns = [lambda: gymnasium.make("CartPole-v1")] * 4
    wrapped, oracle = wrap(RingVectorEnv(fns, num_workers=2)), wrap(SyncVectorEnv(fns))
    try:
        drive(wrapped, oracle, "NextStep", steps=80)
    finally:
        wrapped.close()
        oracle.close()


def test_normalize_observation_refuses_same_step() -> None:
    """The wrapper reads the mode from the metadata."""
    envs = RingVectorEnv(counting(), autoreset_mode="SameStep", num_workers=0)
    with pytest.raises((AssertionError, ValueError)):
        wrappers.NormalizeObservation(envs)
    envs.close()


def test_record_video(tmp_path: Path) -> None:
    """Frames come through render(); skipped where the wrapper's own dependency is missing."""
    pytest.importorskip("moviepy")
    fns = counting(3, render_mode="rgb_array")
    wrapped = wrappers.RecordVideo(RingVectorEnv(fns, num_workers=2), str(tmp_path))
    wrapped.reset(seed=0)
    for _ in range(5):
        wrapped.step(np.zeros(3, int))
    wrapped.close()
    assert list(tmp_path.glob("*.mp4"))


def test_episode_statistics_after_a_masked_reset() -> None:
    """They go on for the other envs: `reset_mask` stays in the options, where the wrapper looks."""
    envs = wrappers.RecordEpisodeStatistics(
        RingVectorEnv([CountingEnv] * 3, num_workers=2, autoreset_mode="Disabled")
    )
    try:
        envs.reset()
        envs.step(np.zeros(3, np.int64))
        envs.reset(options={"reset_mask": np.array([False, True, False])})
        for _ in range(2):
            _, _, terminations, _, infos = envs.step(np.zeros(3, np.int64))
        assert terminations.tolist() == [True, False, True]
        assert infos["episode"]["l"].tolist() == [3, 0, 3]
    finally:
        envs.close()
