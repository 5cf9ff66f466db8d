# SPDX-License-Identifier: MIT
"""restart_every where a worker has several envs, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envring import RingVectorEnv
from envring.testing import CountingEnv, assert_same_batch
from support.processes import counting_fns

MODES = ["NextStep", "SameStep", "Disabled"]


def test_several_envs_that_end_together(replacing: Any) -> None:
    envs = replacing(counting_fns(4, lengths=(3,)), {"episodes": 4}, num_workers=2)
    envs.reset()
    for t in range(24):
        observations, _, terminations, truncations, infos = envs.step([0] * 4)
        assert observations[:, 2].tolist() == [(t + 1) % 4] * 4
        assert not truncations.any()
        assert terminations.all() == (t % 4 == 2)
        assert ("worker_restarted" in infos) == (t % 8 == 7)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_several_envs_that_are_reset_together(mode: str, plain: bool, replacing: Any) -> None:
    envs = replacing(
        [lambda: CountingEnv(0, (10**6,))] * 4, {"episodes": 4}, num_workers=2, autoreset_mode=mode
    )
    for i in range(7):
        _, infos = envs.reset(seed=None if plain else 1)
        envs.step([0] * 4)
        assert infos.get("worker_restarted", np.zeros(4, bool)).all() == (i in (2, 4, 6))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_several_envs_that_never_end_together(mode: str, replacing: Any) -> None:
    """Once the limit is reached twice, those in the midst of an episode are truncated."""
    envs = replacing(
        [lambda: CountingEnv(0, (3,)), lambda: CountingEnv(1, (10**6,))],
        {"episodes": 3},
        num_workers=1,
        autoreset_mode=mode,
    )
    envs.reset()
    truncated, ends, told = 0, 0, 0
    last = None
    for _ in range(60):
        observations, rewards, terminations, truncations, infos = envs.step([0, 0])
        ends += int(terminations[0])
        assert not truncations[0]
        told += int(infos.get("worker_restarted", [False])[0])
        if truncations[1]:
            assert ends % 6 == 0
            assert rewards[1] == 0
            if mode == "NextStep":
                assert_same_batch(observations[1], last[1])
            else:
                assert_same_batch(infos["final_obs"][1], last[1])
            truncated += 1
        last = observations
    assert truncated == told == ends // 6 >= 2


@pytest.mark.parametrize(
    "every", [100, "100 episodes", {}, {"episodes": 0}, {"days": 1}, {"steps": 1.5}]
)
def test_refused(every: Any) -> None:
    with pytest.raises(ValueError, match="restart_every must be"):
        RingVectorEnv(counting_fns(1), restart_every=every)
