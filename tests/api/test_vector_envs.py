# SPDX-License-Identifier: MIT
"""Vector envs in workers: as the same vector envs stepped here, side by side."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, Text, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import envring
from envring.testing import CountingEnv, SpaceEnv
from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import quiet
from support.vector_envs import PLAIN, Telling, counting, divided, running, several

FOREIGN = envring.Python(sys.executable)
PLACES = {
    "local": {"num_workers": 2},
    "reference": {"num_workers": 1, "step_loop": "reference"},
    "inline": {"num_workers": 0},
    "caller steps": {"num_workers": 1, "caller_steps": True},
    "spawn": {"num_workers": 2, "context": "spawn"},
}
MODES = ("NextStep", "SameStep", "Disabled")
KINDS = Dict(
    box=Box(-1, 1, (2, 3), np.float32),
    pair=Tuple([Discrete(5), MultiBinary(3)]),
    text=Text(8),
    graph=Graph(Box(0, 1, (2,)), Discrete(2)),
)
ACTIONS = Dict(x=Discrete(5), y=Tuple([Box(-1, 1, (2,), np.float32)]))


def spaced(count, **kwargs):
    return [partial(SpaceEnv, index=i, lengths=(1 + i % 3, 2), **kwargs) for i in range(count)]


def compare(envs, oracle, mode, steps=8, actions=None):
    """Steps both; whatever they give must be the same. In the mode Disabled, resets by hand."""
    rng = np.random.default_rng(1)
    assert_same_batch(envs.reset(seed=5, options={"a": 1}), oracle.reset(seed=5, options={"a": 1}))
    oracle.action_space.seed(3)
    for at in range(steps):
        action = oracle.action_space.sample() if actions is None else actions(rng)
        got, expected = envs.step(action), oracle.step(action)
        assert_same_batch(got, expected, where=f"step {at}")
        ended = expected[2] | expected[3]
        if mode == "Disabled" and ended.any():
            for seed in (None, [None if i % 2 else i for i in range(len(ended))]):
                given = [
                    env.reset(seed=seed, options={"reset_mask": ended.copy(), "b": 2})
                    for env in (envs, oracle)
                ]
                assert_same_batch(*given, where=f"reset {at}")
    assert_same_batch(envs.reset(), oracle.reset())


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        *(("local", mode) for mode in MODES),
        *(("inline", mode) for mode in MODES),
        ("reference", "SameStep"),
        ("caller steps", "SameStep"),
        ("spawn", "NextStep"),
    ],
)
def test_as_all_of_their_envs_in_one(place, mode):
    styles = [("steady", KINDS, ACTIONS), ("objects", KINDS["pair"], None)]
    for infos, space, action_space in styles[: 2 if place == "local" else 1]:
        fns = spaced(
            7, observation_space=space, action_space=action_space, infos=infos, ending="both"
        )
        oracle = SyncVectorEnv(fns, autoreset_mode=mode)
        with running(divided(fns, [2, 4, 1], mode), autoreset_mode=mode, **PLACES[place]) as envs:
            assert envs.num_envs == 7
            assert envs.single_observation_space == oracle.single_observation_space
            assert envs.action_space == oracle.action_space
            assert envs.metadata["autoreset_mode"] == AutoresetMode(mode)
            compare(envs, oracle, mode)


def test_numpy_ones_as_side_by_side():
    """Gymnasium's own CartPoleVectorEnv: three of four envs in two workers."""
    alone = [CartPoleVectorEnv(4, max_episode_steps=20) for _ in range(3)]
    fns = [partial(CartPoleVectorEnv, 4, max_episode_steps=20)] * 3
    rng = np.random.default_rng(0)
    with running(fns, num_workers=2) as envs:
        observations, infos = envs.reset(seed=7)
        expected = [env.reset(seed=7 + 4 * n)[0] for n, env in enumerate(alone)]
        assert_same_batch(observations, np.concatenate(expected))
        assert infos == {}
        ends = 0
        for _ in range(100):
            actions = rng.integers(0, 2, 12)
            *got, infos = envs.step(actions)
            each = [env.step(actions[4 * n : 4 * n + 4]) for n, env in enumerate(alone)]
            for value, *parts in zip(got, *(parts[:4] for parts in each), strict=True):
                assert_same_batch(value, np.concatenate(parts).astype(value.dtype))
            assert infos == {}
            ends += int(got[2].sum() + got[3].sum())
        assert ends > 20
        envs.step([0, 1] * 6)  # a list, and other integers
        envs.step(np.zeros(12, np.int32))


@pytest.mark.parametrize("mode", MODES)
def test_in_another_interpreter(mode):
    kinds = {"seed": 3, "mode": mode}
    sources = [envring.EnvSource(PLAIN, kwargs={"count": n, **kinds}) for n in (2, 3)]
    oracle = several(counting(5), mode)
    with running(sources, num_workers=2, launcher=FOREIGN, autoreset_mode=mode) as envs:
        assert envs.num_envs == 5
        compare(envs, oracle, mode)


# -- infos -------------------------------------------------------------------------------------


def test_infos_with_and_without_masks():
    first = {
        "plain": np.array([1, 2], np.int32),
        "picture": np.ones((2, 2, 2), np.uint8),
        "deep": {"x": np.array([0.5, 0.25]), "_x": np.array([True, False])},
        "word": "all",
        "number": 3,
        "each": ["a", "b"],
    }
    second = {"plain": np.array([3, 4, 5], np.int32), "_plain": np.array([True, False, True])}
    with running([lambda: Telling(first), lambda: Telling(second, 3)], num_workers=2) as envs:
        envs.reset()
        infos = envs.step(np.zeros(5, int))[4]
        assert_same_batch(infos["plain"], np.array([1, 2, 3, 4, 5], np.int32))
        assert_same_batch(infos["_plain"], np.array([True, True, True, False, True]))
        assert infos["picture"].shape == (5, 2, 2)
        assert_same_batch(infos["deep"]["x"], np.array([0.5, 0.25, 0, 0, 0]))
        assert_same_batch(infos["deep"]["_x"], np.array([True, False, False, False, False]))
        assert infos["word"].tolist() == ["all", "all", None, None, None]
        assert infos["number"].tolist() == [3, 3, 0, 0, 0]
        assert infos["each"].tolist() == ["a", "b", None, None, None]
        for key in ("picture", "deep", "word", "number", "each"):
            assert_same_batch(infos[f"_{key}"], np.arange(5) < 2)
    with running([lambda: Telling({"lives": np.array([3, 2])})] * 2, num_workers=2) as envs:
        envs.reset()
        assert_same_batch(envs.step(np.zeros(4, int))[4], {"lives": np.array([3, 2, 3, 2])})


def test_infos_that_do_not_fit():
    parts = [{"a": np.zeros((2, 3))}, {"a": np.zeros((2, 4))}]
    fns = [partial(Telling, infos) for infos in parts]
    with running(fns, num_workers=2) as envs:
        envs.reset()
        with pytest.raises(envring.InfoError, match="'a' of envs 2, 3 does not fit"):
            envs.step(np.zeros(4, int))
    with running([lambda: Telling([1, 2])], num_workers=1) as envs:
        envs.reset()
        with pytest.raises(envring.InfoError, match="envs 0, 1 returned infos of type list"):
            envs.step(np.zeros(2, int))


# -- calls and attributes ----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_calls_and_attributes(workers):
    fns = [partial(CountingEnv, index=i, render_mode="rgb_array") for i in range(5)]
    with running(
        divided(fns, [2, 3], "NextStep", RecordEpisodeStatistics), num_workers=workers
    ) as envs:
        envs.reset()
        assert envs.get_attr("index") == (0, 1, 2, 3, 4)
        assert envs.call("add", 1, b=2) == (3, 4, 5, 6, 7)
        assert [frame[0, 0, 0] for frame in envs.render()] == [0, 1, 2, 3, 4]
        envs.set_attr("gravity", [1, 2, 3, 4, 5])
        assert envs.get_attr("gravity") == (1, 2, 3, 4, 5)
        assert envs.get_attr("gravity", [2, 3, 4]) == (3, 4, 5)
        envs.set_attr("gravity", 7, [0, 1])
        assert envs.get_attr("gravity") == (7, 7, 3, 4, 5)
        assert envs.get_attr("episode_count") == (0,) * 5  # the wrapper's own
        for indices in (0, [1, 2], [0, 1, 4]):
            with pytest.raises(ValueError, match="are one vector env"):
                envs.get_attr("gravity", indices)
    with running([partial(CartPoleVectorEnv, 3)] * 2, num_workers=workers) as envs:
        envs.reset()
        assert envs.get_attr("gravity") == (9.8,) * 6  # of a vector env, so of each of its rows
        envs.set_attr("gravity", 1.0, [3, 4, 5])
        assert envs.get_attr("gravity") == (9.8,) * 3 + (1.0,) * 3
        with pytest.raises(ValueError, match="got values that differ"), quiet():
            envs.set_attr("gravity", [1, 2, 3, 4, 5, 6])
        with pytest.raises(AttributeError, match="there_is_none"), quiet():
            envs.get_attr("there_is_none")
        with pytest.raises(ValueError, match="use `reset` directly"), quiet():
            envs.call("reset")


def test_wrapped_ones_keep_what_wrappers_add():
    fns = counting(4)
    mode = "NextStep"
    oracle = RecordEpisodeStatistics(several(fns, mode))
    with running(divided(fns, [4], mode, RecordEpisodeStatistics), num_workers=1) as envs:
        envs.reset(seed=5)
        oracle.reset(seed=5)
        for _ in range(7):
            got, expected = (env.step(np.zeros(4, int)) for env in (envs, oracle))
            for infos in (got[4], expected[4]):
                infos.get("episode", {}).pop("t", None)
                infos.get("episode", {}).pop("_t", None)
            assert_same_batch(got[4], expected[4])


def test_seeds():
    with running([partial(Telling, {}), partial(Telling, {}, 3)], num_workers=1) as envs:
        envs.reset(seed=10)
        envs.reset(seed=[4, 5, 9, None, 1])
        envs.reset(options={"x": 1})
        envs.reset()
        # one seed where the rows' ascend by one: more vector envs take that than take a list
        first, second = (envs.get_attr("resets", rows)[0] for rows in ([0, 1], [2, 3, 4]))
        rest = [(None, {"x": 1}), (None, None)]
        assert first == [(10, None), (4, None), *rest]
        assert second == [(12, None), ([9, None, 1], None), *rest]
