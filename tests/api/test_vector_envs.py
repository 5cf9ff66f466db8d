# SPDX-License-Identifier: MIT
"""Vector envs in workers: as the same vector envs stepped here, side by side."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, Text, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import envring
from envring.testing import CountingEnv, DyingEnv, FailingEnv, HangingEnv, SpaceEnv
from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import quiet
from foreign.test_relay import HERE as WITHOUT_LIBRARY

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


@contextlib.contextmanager
def running(env_fns, **kwargs):
    envs = envring.RingVectorEnv(env_fns, **kwargs)
    try:
        yield envs
    finally:
        with quiet():
            envs.close()


def several(fns, mode="NextStep", wrap=lambda env: env):
    """A vector env of some of the single envs."""
    return wrap(SyncVectorEnv(fns, autoreset_mode=mode))


def divided(fns, sizes, mode, wrap=lambda env: env):
    """Functions that make vector envs of so many envs each, of all of these in order."""
    ends = np.cumsum(sizes)
    return [
        partial(several, fns[end - size : end], mode, wrap)
        for size, end in zip(sizes, ends, strict=True)
    ]


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
    source = f"{__file__.replace('test_vector_envs', 'vector_env_source')}:make"
    kinds = {"seed": 3, "mode": mode}
    sources = [envring.EnvSource(source, kwargs={"count": n, **kinds}) for n in (2, 3)]
    oracle = several(_counting(5), mode)
    with running(sources, num_workers=2, launcher=FOREIGN, autoreset_mode=mode) as envs:
        assert envs.num_envs == 5
        compare(envs, oracle, mode)


def _counting(count):
    return [partial(CountingEnv, lengths=(2, 3)) for _ in range(count)]


# -- infos -------------------------------------------------------------------------------------


class Telling(VectorEnv):
    """A vector env with infos of its own making."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, infos, num_envs=2, step=None):
        self.num_envs = num_envs
        self.single_observation_space = Box(-1, 1, (3,), np.float32)
        self.single_action_space = Discrete(2)
        self.observation_space = Box(-1, 1, (num_envs, 3), np.float32)
        self.action_space = gym.spaces.MultiDiscrete([2] * num_envs)
        self.infos = infos
        self.given = step
        self.resets = []

    def reset(self, *, seed=None, options=None):
        self.resets.append((seed, options))
        return np.zeros((self.num_envs, 3), np.float32), {}

    def step(self, action):
        n = self.num_envs
        result = [np.ones((n, 3), np.float32), np.ones(n), np.zeros(n, bool), np.zeros(n, bool)]
        for index, value in (self.given or {}).items():
            result[index] = value
        return (*result, self.infos)


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
        assert envs.render() == (None,) * 6


def test_wrapped_ones_keep_what_wrappers_add():
    fns = _counting(4)
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


# -- single envs, parts, rollouts --------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["local", "reference", "inline", "caller steps", "foreign", "mixed"]
)
def test_send_and_receive(place):
    sizes, mode = [2, 2, 2, 2], "SameStep"
    fns, kwargs = _counting(8), {}
    env_fns = divided(fns, sizes, mode)
    if place in ("foreign", "mixed"):
        name = f"{__file__.replace('test_vector_envs', 'vector_env_source')}:make"
        other = FOREIGN if place == "foreign" else WITHOUT_LIBRARY
        env_fns = [
            envring.EnvSource(name, kwargs={"count": 2, "mode": mode}, launcher=launcher)
            for launcher in (FOREIGN, FOREIGN, other, other)
        ]
        kwargs = {"num_workers": 2}
    else:
        kwargs = PLACES[place]
    alone = [several(fns[2 * n : 2 * n + 2], mode) for n in range(4)]
    rng = np.random.default_rng(2)
    with running(env_fns, autoreset_mode=mode, batch_size=4, **kwargs) as envs:
        envs.async_reset(seed=3)
        told = {}
        for n, env in enumerate(alone):
            observations, infos = env.reset(seed=3 + 2 * n)
            told[n] = (observations, np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), infos)
        for _ in range(20):
            observations, rewards, terminations, truncations, infos = envs.recv(timeout=60)
            env_ids = infos.pop("env_id")
            numbers = env_ids[::2] // 2
            assert env_ids.tolist() == [i for n in numbers for i in (2 * n, 2 * n + 1)]
            parts = [told[n] for n in numbers]
            for at, value in enumerate((observations, rewards, terminations, truncations)):
                assert_same_batch(value, np.concatenate([part[at] for part in parts]))
            for row, key in ((r, k) for r in range(4) for k in ("t", "round", "final_obs")):
                n, i = numbers[row // 2], row % 2
                one = told[n][4]
                there = key in one and one[f"_{key}"][i]
                assert (key in infos and bool(infos[f"_{key}"][row])) == there, (key, row)
                if there:
                    assert np.array_equal(infos[key][row], one[key][i])
            order = rng.permutation(4)
            actions = rng.integers(0, 8, 4)
            envs.send(actions[order], env_ids[order])
            for n, action in zip(numbers, actions.reshape(2, 2), strict=True):
                told[n] = alone[n].step(action)
        with pytest.raises(ValueError, match=r"envs 0, 1 are one vector env"):
            envs.send(np.zeros(1, int), [0])
        with pytest.raises(ValueError, match="min_envs is 3"):
            envs.recv(3)
        envs.recv(8)
        envs.step(np.zeros(8, int))


def test_send_of_every_kind_of_value():
    fns = spaced(4, observation_space=KINDS, action_space=ACTIONS, infos="steady")
    oracle = SyncVectorEnv(fns)
    with running(divided(fns, [2, 2], "NextStep"), num_workers=2) as envs:
        envs.async_reset(seed=5)
        got = envs.recv()
        expected = oracle.reset(seed=5)
        got[4].pop("env_id")
        assert_same_batch((got[0], got[4]), expected)
        oracle.action_space.seed(1)
        for _ in range(5):
            actions = oracle.action_space.sample()
            envs.send(actions)
            got = envs.recv()
            got[4].pop("env_id")
            assert_same_batch(got, oracle.step(actions))


def test_only_whole_ones_at_a_time():
    fns = _counting(4)
    with pytest.raises(ValueError, match="batch_size is 3"):
        envring.RingVectorEnv(divided(fns, [2, 2], "NextStep"), num_workers=2, batch_size=3)
    with running(divided(fns, [1, 3], "NextStep"), num_workers=2) as envs:
        envs.async_reset()
        with pytest.raises(ValueError, match="vector envs of the same one"):
            envs.recv(3)
        envs.recv()
    with pytest.raises(ValueError, match="options_per_env"):
        envring.RingVectorEnv(divided(fns, [4], "NextStep"), num_workers=1, options_per_env=True)


def test_parts_are_of_whole_ones():
    fns = _counting(8)
    with running(divided(fns, [2] * 4, "NextStep"), num_workers=2) as envs:
        with pytest.raises(ValueError, match="cannot be split into 5 parts"):
            envs.split(5)
        first, second = envs.split(2)
        assert first.env_ids.tolist() == [0, 1, 4, 5]
        oracle = several([fns[i] for i in first.env_ids])
        second.reset(seed=9)
        assert_same_batch(first.reset(seed=1), oracle.reset(seed=1))
        for _ in range(5):
            second.step_async(np.zeros(4, int))
            assert_same_batch(first.step(np.ones(4, int)), oracle.step(np.ones(4, int)))
            second.step_wait()


def test_rollout():
    fns, mode = _counting(4), "SameStep"
    oracle = several(fns, mode)
    with running(divided(fns, [2, 2], mode), autoreset_mode=mode, num_workers=2, slots=6) as envs:
        rollout = envs.rollout()
        first, _ = rollout.reset(seed=1)
        expected = [oracle.reset(seed=1)[0]]
        assert_same_batch(np.array(first), expected[0])
        finals = []
        for t in range(5):
            rollout.step(np.full(4, t))
            observations, _, terminations, _, infos = oracle.step(np.full(4, t))
            expected.append(observations)
            finals += [infos["final_obs"][i] for i in np.flatnonzero(terminations)]
        assert_same_batch(np.array(rollout.observations), np.stack(expected[:-1]))
        assert_same_batch(np.array(rollout.final_obs.observations), np.stack(finals))


# -- what goes wrong ---------------------------------------------------------------------------


def test_modes_must_agree():
    fns = divided(_counting(4), [2, 2], "SameStep")
    with pytest.raises(envring.EnvFnError) as raised:
        envring.RingVectorEnv([divided(_counting(1), [1], "NextStep")[0], *fns], num_workers=2)
    text = str(raised.value)
    for part in ("env_fns[1, 2]", "envs 1-4", "SameStep", "NextStep was asked for"):
        assert part in text
    assert "autoreset_mode='SameStep' to RingVectorEnv" in text

    class Silent(Telling):
        metadata = {}  # noqa: RUF012

    with pytest.raises(envring.EnvFnError, match="no 'autoreset_mode' in their metadata"):
        envring.RingVectorEnv([lambda: Silent({})], num_workers=1)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_single_ones_beside_vector_envs(workers):
    fns = [*divided(_counting(2), [2], "NextStep"), CountingEnv]
    with pytest.raises(envring.EnvFnError, match=r"vector env.* single env"):
        envring.RingVectorEnv(fns, num_workers=workers)


def test_a_vector_env_where_a_single_one_is_wanted():
    with pytest.raises(envring.EnvFnError, match="a vector env of 2 envs, where a single env"):
        envring.RingEnv(divided(_counting(2), [2], "NextStep")[0])


def test_spaces_must_agree():
    with pytest.raises(envring.SpaceMismatchError, match="envs 2-4"):
        envring.RingVectorEnv(
            [
                lambda: several([CountingEnv] * 2),
                lambda: several([partial(SpaceEnv, Box(0, 1, (2,)), Discrete(8))] * 3),
            ],
            num_workers=2,
        )


def test_what_does_not_say_what_it_is():
    class Nothing(Telling):
        def __init__(self):
            super().__init__({})
            self.single_action_space = None

    with pytest.raises(TypeError, match="has no single_action_space"):
        envring.RingVectorEnv([Nothing], num_workers=1)
    with pytest.raises(TypeError, match="num_envs 0"):
        envring.RingVectorEnv([partial(Telling, {}, 0)], num_workers=1)


@pytest.mark.parametrize(
    ("index", "value", "error", "match"),
    [
        (0, np.ones((3, 3), np.float32), envring.ObservationError, r"envs 2, 3 .*shape \(3, 3\)"),
        (0, np.ones((2, 3), "U1"), envring.ObservationError, r"envs 2, 3 .*dtype"),
        (1, np.ones(3), ValueError, r"rewards of shape \(3,\)"),
        (1, 1.0, ValueError, r"rewards of shape \(\)"),
        (2, np.zeros((2, 1), bool), ValueError, "terminations of shape"),
        (3, [False], ValueError, "truncations of shape"),
    ],
)
def test_results_that_do_not_fit(index, value, error, match):
    fns = [partial(Telling, {}), partial(Telling, {}, step={index: value})]
    with running(fns, num_workers=1) as envs, quiet():
        envs.reset()
        with pytest.raises(error, match=match):
            envs.step(np.zeros(4, int))
        envs.reset()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_names_all_rows(workers):
    fns = [CountingEnv] * 3 + [partial(FailingEnv, partial(RuntimeError, "oh"), at=1)] * 1
    with running(divided(fns, [2, 2], "NextStep"), num_workers=workers) as envs:
        envs.reset()
        envs.step(np.zeros(4, int))
        with pytest.raises(RuntimeError, match="oh") as raised, quiet():
            envs.step(np.zeros(4, int))
        assert "raised by envs 2, 3" in "".join(raised.value.__notes__)
        envs.step(np.zeros(4, int))
        # and of those that are sent by themselves
        envs.send(np.zeros(4, int))
        assert envs.recv()[4]["env_id"].tolist() == [0, 1, 2, 3]


def test_a_death_names_all_rows():
    fns = [CountingEnv] * 3 + [partial(DyingEnv, "SIGKILL")]
    with running(divided(fns, [1, 3], "NextStep"), num_workers=2) as envs:
        envs.reset()
        with pytest.raises(envring.WorkerDied) as raised:
            envs.step(np.zeros(4, int))
        assert raised.value.env_ids == (1, 2, 3)


def test_one_that_hangs_is_given_up():
    fns = [CountingEnv] * 2 + [HangingEnv]
    with running(divided(fns, [1, 2], "NextStep"), num_workers=2, step_timeout=0.3) as envs:
        envs.reset()
        start = time.monotonic()
        with pytest.raises(envring.WorkerTimeout, match="envs 1, 2 did not finish"):
            envs.step(np.zeros(3, int))
        assert time.monotonic() - start < 30


def test_before_gymnasium_1_nothing_changes():
    from envring._foreign.envring_worker.envs import vectors

    class Old(gym.Env):
        pass

    assert not vectors.is_vector_env(Old())
