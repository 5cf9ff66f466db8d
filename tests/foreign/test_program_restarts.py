# SPDX-License-Identifier: MIT
"""Restarts of workers without Python, beside those of workers with the same envs in Python."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import envring
from envring import EnvSource, RingVectorEnv, WorkerRestarted
from envring.workers import foreign
from support.hosts import running
from support.programs import Counting
from support.restarts import kill

MODES = ["NextStep", "SameStep", "Disabled"]
DIE = np.float32([-1, 0])  # an action
END = np.float32([0, -1])


@pytest.fixture
def both(counting: EnvSource) -> Iterator[Callable[..., list[Any]]]:
    """Makes two vector envs that must not differ, in C++ and in Python: five envs in each."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> list[Any]:
            options = {"num_workers": 2, "restart_window": 600.0, "max_restarts": 99, **options}
            made: list[Any] = []
            for fns in ([counting] * 5, [Counting] * 5):
                made.append(RingVectorEnv(fns, **options))
                stack.callback(made[-1].close)
            return made

        yield make


def drawn(steps: int) -> Any:
    actions = np.random.default_rng(1).uniform(-0.9, 0.9, (steps, 5, 2))
    return actions.astype(np.float32)


def assert_same(seen: list[Any]) -> None:
    ours, theirs = seen
    assert len(ours) == len(theirs)
    for t, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        assert data_equivalence(left, right, exact=True), (t, left, right)


def play(envs: Any, actions: Any, kills: Mapping[int, list[int]] = {}) -> list[Any]:
    """The results of a reset and of steps; before some of them workers are killed."""
    seen = [envs.reset(seed=10)]
    disabled = envs.metadata["autoreset_mode"] is gym.vector.AutoresetMode.DISABLED
    for t, each in enumerate(actions):
        for w in kills.get(t, ()):
            kill(envs.processes[w].pid)
        seen.append(envs.step(each))
        ended = seen[-1][2] | seen[-1][3]
        if disabled and ended.any():
            seen.append(envs.reset(options={"reset_mask": ended}))
    return seen


def told(seen: list[Any]) -> Any:
    """In which results an env says that its worker was started again."""
    return [t for t, each in enumerate(seen) if "worker_restarted" in each[-1]]


# -- after deaths --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_killed_between_steps(mode: str, both: Any) -> None:
    """In the midst of an episode, at an end, at the beginning, twice, and both at once."""
    kills = {2: [1], 5: [1], 8: [0], 9: [0], 14: [0, 1]}
    made = both(autoreset_mode=mode, on_worker_death="restart")
    seen = [play(envs, drawn(24), kills) for envs in made]
    assert_same(seen)
    assert len(told(seen[0])) >= 4
    assert any(each[3].any() for each in seen[0] if len(each) == 5)


@pytest.mark.parametrize("mode", MODES)
def test_killed_inside_a_step(mode: str, both: Any) -> None:
    """Env 2 was stepped before the one that dies: its result is lost with the worker."""
    actions = drawn(12)
    actions[1, 3] = actions[6, 4] = DIE
    made = both(autoreset_mode=mode, on_worker_death="restart")
    seen = [play(envs, actions) for envs in made]
    assert_same(seen)
    assert [each.restarts for each in made[0].stats().workers] == [0, 2]
    last, (observations, rewards, terminations, truncations, infos) = seen[0][1][0], seen[0][2]
    assert truncations.tolist() == infos["worker_restarted"].tolist() == [False] * 2 + [True] * 3
    assert not terminations.any()
    assert not rewards[2:].any()
    if mode == "SameStep":
        assert np.array_equal(np.stack(infos["final_obs"][2:].tolist()), last[2:])
        assert infos["final_info"] == {}
        assert (observations[2:, 0] == 0).all()
    else:
        assert np.array_equal(observations[2:], last[2:])


@pytest.mark.parametrize("mode", MODES)
def test_a_reset_comes_first(mode: str, both: Any) -> None:
    """Of all envs, with seeds or without, or of some."""
    mask = np.array([True, False, True, False, True])
    seen = []
    for envs in both(autoreset_mode=mode, on_worker_death="restart"):
        seen.append(play(envs, drawn(3)))
        for arguments in ({}, {"seed": 30}, {"options": {"reset_mask": mask}}):
            kill(envs.processes[1].pid)
            seen[-1] += [envs.reset(**arguments), *(envs.step(each) for each in drawn(3))]
    assert_same(seen)
    assert len(told(seen[0])) == 3 + 1  # of the masked one, an env that is not reset ends later


@pytest.mark.parametrize("mode", MODES)
def test_sent_and_received(mode: str, both: Any) -> None:
    seen: list[list[Any]] = []
    for envs in both(autoreset_mode=mode, on_worker_death="restart"):
        seen.append([envs.reset(seed=10)])
        for t, actions in enumerate(drawn(20)):
            if t in (3, 11):
                kill(envs.processes[1].pid)
            if t == 7:
                actions[3] = DIE
            envs.send(actions, np.arange(5))
            seen[-1].append(in_order(envs.recv(5)))
            ended = seen[-1][-1][2] | seen[-1][-1][3]
            if mode == "Disabled" and ended.any():
                envs.async_reset(np.flatnonzero(ended))
                seen[-1].append(in_order(envs.recv(int(ended.sum()))))
    assert_same(seen)
    assert len(told(seen[0])) >= 3


def in_order(received: Any) -> Any:
    """The same by env, whatever came first."""
    *arrays, infos = received
    order = np.argsort(infos["env_id"])

    def sort(infos: Any) -> Any:
        return {
            key: sort(value) if isinstance(value, dict) else value[order]
            for key, value in infos.items()
        }

    return (*(each[order] for each in arrays), sort(infos))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_rollouts(mode: str, both: Any) -> None:
    seen: list[list[Any]] = []
    for envs in both(autoreset_mode=mode, on_worker_death="restart", slots=6):
        rollout = envs.rollout()
        seen.append([np.array(rollout.reset(seed=10)[0])])
        for t, actions in enumerate(drawn(20)):
            if t in (3, 10):
                kill(envs.processes[1].pid)
            if t == 7:
                actions[3] = DIE
            results = rollout.step(actions)
            seen[-1].append([*map(np.array, results[:4]), np.array(rollout.final_obs.observations)])
    assert_same(seen)


def test_calls_say_whose_worker_died(both: Any) -> None:
    envs, _ = both(on_worker_death="restart")
    envs.reset(seed=10)
    last = envs.step(drawn(1)[0])[0]
    kill(envs.processes[1].pid)
    with pytest.raises(WorkerRestarted) as caught:
        envs.get_attr("count")
    assert caught.value.env_ids == (2, 3, 4)
    assert envs.get_attr("count") == (1, 1, 0, 0, 0)
    results = envs.step(drawn(1)[0])
    assert results[3].tolist() == [False] * 2 + [True] * 3
    assert np.array_equal(results[0][2:], last[2:])


def fresh(seed: int) -> int:
    """How an env observes the seed that follows from one after a restart."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1).astype(np.int16)[0])


def test_beside_python_envs(counting: EnvSource) -> None:
    fns = [counting, counting, Counting, Counting]
    made: Any = RingVectorEnv(fns, num_workers=2, on_worker_death="restart")
    with contextlib.closing(made) as envs:
        envs.reset(seed=10)
        last = envs.step(drawn(1)[0, :4])[0]
        for w in (0, 1):
            kill(envs.processes[w].pid)
            results = envs.step(drawn(1)[0, :4])
            ends = [w == 0] * 2 + [w == 1] * 2
            assert results[3].tolist() == results[4]["worker_restarted"].tolist() == ends
            assert np.array_equal(results[0][ends], last[ends])
            last = results[0]
        seeds = envs.step(drawn(1)[0, :4])[0][:, 1]
        assert seeds.tolist() == [fresh(10 + i) for i in range(4)]


def test_one_env(counting: EnvSource) -> None:
    with envring.make("Counting-v0", launcher=counting.launcher, on_worker_death="restart") as env:
        env.reset(seed=3)
        last = env.step(np.zeros(2, np.float32))[0]
        observation, *outcome = env.step(DIE)
        assert np.array_equal(observation, last)
        assert outcome == [0.0, False, True, {"worker_restarted": True}]
        observation, _ = env.reset()
        assert observation.tolist() == [0, fresh(3), 0]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_on_a_host(mode: str, counting: EnvSource) -> None:
    """A worker's death there is the end of a session, whose envs another one has."""
    launcher = f"program:{counting.launcher.path}"
    with running("Counting-v0", "--launcher", launcher, "--grace", "0.3") as host:
        sources = [EnvSource.elsewhere("Counting-v0")] * 3
        options: Any = {"on_worker_death": "restart", "autoreset_mode": mode}
        with contextlib.closing(RingVectorEnv(sources, remotes=host.url, **options)) as envs:
            envs.reset(seed=20)
            actions = drawn(1)[0, :3]
            last = envs.step(actions)[0]
            actions[1] = DIE
            observations, rewards, _, truncations, infos = envs.step(actions)
            assert not rewards.any()
            assert truncations.all()
            assert infos["worker_restarted"].all()
            if mode == "NextStep":
                assert np.array_equal(observations, last)
                observations = envs.step(actions)[0]
            else:
                assert np.array_equal(np.stack(infos["final_obs"].tolist()), last)
            assert observations.tolist() == [[0, fresh(20 + i), 0] for i in range(3)]


# -- between episodes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "every"),
    [(5, {"episodes": 2}), (2, {"steps": 18}), (2, {"steps": 900, "episodes": 5})],
    ids=["each", "together by steps", "together"],
)
@pytest.mark.parametrize("mode", MODES)
def test_replaced_between_episodes(mode: str, workers: int, every: Any, both: Any) -> None:
    made = both(autoreset_mode=mode, restart_every=every, num_workers=workers)
    seen = [play(envs, drawn(40)) for envs in made]
    assert_same(seen)
    ours, theirs = ([each.planned_restarts for each in envs.stats().workers] for envs in made)
    assert ours == theirs
    assert min(ours) >= 2
    assert [each.restarts for each in made[0].stats().workers] == [0] * workers


@pytest.mark.parametrize("mode", MODES)
def test_envs_of_one_worker_that_never_end_together(mode: str, both: Any) -> None:
    """Once overdue, those in the midst of an episode are truncated."""
    actions = drawn(60)
    actions[::3, 0] = actions[1::5, 3] = END
    made = both(autoreset_mode=mode, restart_every={"episodes": 6})
    seen = [play(envs, actions) for envs in made]
    assert_same(seen)
    ours, theirs = ([each.planned_restarts for each in envs.stats().workers] for envs in made)
    assert ours == theirs
    assert min(ours) >= 2


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("mode", MODES)
def test_replaced_when_all_are_reset(mode: str, seed: int | None, both: Any) -> None:
    seen: list[list[Any]] = []
    for envs in both(autoreset_mode=mode, restart_every={"episodes": 6}):
        seen.append([])
        for _ in range(9):
            seen[-1] += [envs.reset(seed=seed), *(envs.step(each) for each in drawn(2))]
        assert min(each.planned_restarts for each in envs.stats().workers) >= 2
    assert_same(seen)


@pytest.mark.parametrize("mode", MODES)
def test_replaced_where_envs_are_sent(mode: str, both: Any) -> None:
    seen: list[list[Any]] = []
    for envs in both(autoreset_mode=mode, restart_every={"episodes": 2}, num_workers=5):
        seen.append([envs.reset(seed=10)])
        for actions in drawn(30):
            envs.send(actions, np.arange(5))
            seen[-1].append(in_order(envs.recv(5)))
            ended = seen[-1][-1][2] | seen[-1][-1][3]
            if mode == "Disabled" and ended.any():
                envs.async_reset(np.flatnonzero(ended))
                seen[-1].append(in_order(envs.recv(int(ended.sum()))))
        assert min(each.planned_restarts for each in envs.stats().workers) >= 2
    assert_same(seen)


def test_the_next_one_is_started_before_it_is_needed(both: Any) -> None:
    envs, _ = both(restart_every={"episodes": 3}, num_workers=5)
    envs.reset()
    beside = envs._batcher.pool.restarts.planned.beside
    for _ in range(12):
        envs.step(np.zeros((5, 2), np.float32))
    assert len(beside) == 5
    assert envs.stats().workers[0].planned_restarts == 0
    last = [process.pid for process in envs.processes]
    told = [envs.step(np.zeros((5, 2), np.float32))[4] for _ in range(3)]
    assert any("worker_restarted" in infos for infos in told)
    assert not {process.pid for process in envs.processes} & {*last}


# -- programs that do not know of it -------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"on_worker_death": "restart"}, {"restart_every": {"steps": 9}}]
)
def test_a_program_that_cannot_is_refused(
    options: Any, counting: EnvSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would step envs that were never reset."""
    read = foreign.described

    def without(told: dict[str, Any], num_envs: int) -> dict[str, Any]:
        assert told.pop("restarts") is True
        return read(told, num_envs)

    monkeypatch.setattr(foreign, "described", without)
    with pytest.raises(envring.LauncherError, match="does not say what became of the episodes"):
        RingVectorEnv([counting] * 2, **options)
    with contextlib.closing(RingVectorEnv([counting] * 2)) as envs:
        envs.reset()
