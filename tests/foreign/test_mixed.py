# SPDX-License-Identifier: MIT
"""Several interpreters in one vector env, and the ways of naming them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from gymnasium.wrappers import PassiveEnvChecker
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import envring
from envring import EnvSource, LauncherError, Prefix, Python, RingVectorEnv, WorkerDied
from envring.testing import CountingEnv, assert_same_batch
from envring.testing.conformance_base import quiet
from foreign.home import FILE, Home, plain


def played(envs: Any, steps: int = 40) -> list[Any]:
    envs.action_space.seed(1)
    results = [(envs.reset(seed=5)[0],)]
    for _ in range(steps):
        actions = envs.action_space.sample()
        results.append(envs.step(actions)[:4])
    envs.close()
    return results


def test_old_and_new_library_of_the_same_game(matrix_prefix):
    """Each env gives what it gives in a vector env of its own kind."""
    old, new = (Prefix(str(matrix_prefix(name))) for name in ("gym-0.21", "gymnasium-1.x"))
    cart = "CartPole-v1"
    mixed = RingVectorEnv(
        [EnvSource(cart, launcher=old)] * 2 + [EnvSource(cart, launcher=new)] * 2,
        num_workers=2,
        observation_mode="different",
    )
    assert mixed.num_workers == 2
    mixed = played(mixed)
    olds = played(RingVectorEnv([EnvSource(cart)] * 4, launcher=old, num_workers=1))
    news = played(RingVectorEnv([EnvSource(cart)] * 4, launcher=new, num_workers=1))
    for number, (mine, theirs, others) in enumerate(zip(mixed, olds, news, strict=True)):
        for part, first, second in zip(mine, theirs, others, strict=True):
            expected = np.concatenate([first[:2], second[2:]])
            assert_same_batch(part, expected, where=f"step {number}")
    assert not np.array_equal(olds[1][0][2:], news[1][0][2:]), "nothing would tell them apart"


def test_every_interpreter_at_once(foreign_python):
    """One worker each, from Python 2.7 on, and one at home."""
    versions = [v for v in ("2.7", "3.6", "3.9", "3.13") if envring_has(v)]
    launchers = [Python(foreign_python(version)) for version in versions]
    sources = [
        EnvSource(f"{FILE}:Plain", kwargs={"index": index, "lengths": [99]}, launcher=launcher)
        for index, launcher in enumerate(launchers)
    ]
    envs = RingVectorEnv(sources, num_workers=len(sources))
    assert envs.call("version") == tuple(versions)
    envs.reset(seed=1)
    expected = [index + 0.125 + 3 for index in range(len(sources))]
    assert envs.step([3] * len(sources))[1].tolist() == expected
    envs.close()


def envring_has(version: str) -> bool:
    from support.foreign_prefixes import interpreter

    return interpreter(version) is not None


def test_home_beside_abroad(foreign_python):
    """A function runs in a worker of the caller's own interpreter."""
    there = Python(foreign_python("3.9"))
    fns = [lambda: Home("Plain", lengths=[9]), abroad(there, index=1, lengths=[9])]
    envs = RingVectorEnv(fns, num_workers=2)
    try:
        assert envs.call("version") == (f"{sys.version_info[0]}.{sys.version_info[1]}", "3.9")
        envs.reset(seed=1)
        assert_same_batch(envs.step([1, 2])[1], np.array([1.125, 3.125]))
    finally:
        envs.close()


def test_death_of_one_kind(foreign_python):
    """The caller's own worker lives on when the foreign one dies, and the other way round."""
    there = Python(foreign_python("3.9"))
    for victim in (0, 1):
        faults = [{}, {}]
        faults[victim] = {"step": "SIGKILL"}
        fns = [lambda own=faults[0]: Home("Plain", faults=own), abroad(there, faults=faults[1])]
        envs = RingVectorEnv(fns, num_workers=2)
        envs.reset()
        with quiet(), pytest.raises(WorkerDied) as caught:
            envs.step([0, 0])
        assert caught.value.env_ids == (victim,)
        with quiet():
            envs.close()


def abroad(launcher: Any, name: str = "Plain", **kwargs: Any) -> EnvSource:
    return EnvSource(f"{FILE}:{name}", kwargs=kwargs, launcher=launcher)


@pytest.mark.parametrize("text", ["prefix:{prefix}", "python:{prefix}/bin/python"])
def test_launchers_as_strings(text, matrix_prefix):
    """With make_vec, make and in a source."""
    launcher = text.format(prefix=matrix_prefix("gym-0.21"))
    envs = envring.make_vec("CartPole-v1", num_envs=2, launcher=launcher)
    assert envs.reset(seed=1)[0].shape == (2, 4)
    envs.close()
    env = envring.make("CartPole-v1", launcher=launcher)
    assert env.reset(seed=1)[0].shape == (4,)
    env.close()
    envs = RingVectorEnv([EnvSource("CartPole-v1", launcher=launcher)])
    assert envs.reset(seed=1)[0].shape == (1, 4)
    envs.close()


def test_more_interpreters_than_workers(foreign_python):
    there = Python(foreign_python("3.9"))
    sources = [plain(), abroad(there), plain()]
    with pytest.raises(LauncherError, match="num_workers"):
        RingVectorEnv(sources, num_workers=2)


def test_different_spaces_at_home_and_abroad(foreign_python):
    """Their spaces must agree as those of any two envs."""
    there = Python(foreign_python("3.9"))
    with pytest.raises(RuntimeError, match="space"):
        RingVectorEnv([CountingEnv, abroad(there)], num_workers=2)


def test_frames(matrix_prefix):
    """Rendered frames cross the border, from a vector env and from a single one."""
    launcher = Prefix(str(matrix_prefix("gymnasium-1.x")))
    source = EnvSource("ALE/Pong-v5", kwargs={"render_mode": "rgb_array"}, imports=["ale_py"])
    envs = RingVectorEnv([source] * 2, launcher=launcher, num_workers=2)
    observations, _ = envs.reset(seed=1)
    assert_same_batch(envs.render(), tuple(np.array(part) for part in observations))
    assert envs.render_mode == "rgb_array"
    envs.close()
    env = envring.RingEnv(source, launcher=launcher)
    observation, _ = env.reset(seed=1)
    assert_same_batch(env.render(), observation)
    env.close()


@pytest.mark.parametrize("prefix", ["gym-0.16", "gym-0.21", "gym-0.26", "gymnasium-1.x"])
def test_gymnasium_takes_it_for_an_env(prefix, matrix_prefix):
    """Its checker finds nothing, and its vector wrappers count episodes."""
    launcher = Prefix(str(matrix_prefix(prefix)))
    env = PassiveEnvChecker(envring.make("CartPole-v1", launcher=launcher))
    env.reset(seed=1)
    for _ in range(8):
        env.step(np.int64(1))
    env.close()
    envs = RecordEpisodeStatistics(envring.make_vec("CartPole-v1", 2, launcher=launcher))
    envs.reset(seed=1)
    lengths = []
    for _ in range(60):
        infos = envs.step([0, 0])[4]
        lengths += [int(n) for n in infos.get("episode", {}).get("l", ()) if n]
    assert lengths
    assert set(lengths) <= {8, 9, 10, 11}
    envs.close()
