# SPDX-License-Identifier: MIT
"""Agents of parallel envs as rows, against the same envs stepped plainly."""

import contextlib
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from envring import EnvSource, Python, SourceError
from envring._foreign.envring_worker.errors import SourceError as WorkerSourceError
from envring.adapters.agent_rows import AgentVectorEnv
from envring.batch.spaces import SpaceMismatchError
from support.hosts import running
from support.plain_agents import NAMES, Battle, Crowd, Turns

pytest.importorskip("pettingzoo", reason="envs of several agents stay unchecked")

from envring.adapters.pettingzoo import agents_vec

NOTHING = {"seen": np.zeros(3, np.float32), "n": 0}
CROWD = "support.plain_agents:Crowd"
FILE = Path(__file__).parents[1] / "support" / "plain_agents.py"
PLACES = ["caller", "workers", "interpreter", "host"]


@contextlib.contextmanager
def crowds(place, count, mode="NextStep", **kwargs):
    """Crowds as rows, stepped there."""
    with contextlib.ExitStack() as stack:
        env, options = CROWD, {"num_workers": 0 if place == "caller" else 2}
        if place == "interpreter":
            env, options["launcher"] = f"{FILE}:Crowd", Python(sys.executable)
        if place == "host":
            env = f"{FILE}:Crowd"
            options["remotes"] = stack.enter_context(running(env)).url
        envs = agents_vec(env, count, kwargs, autoreset_mode=mode, **options)
        stack.callback(envs.close)
        yield envs


def rows_of(by_agent, otherwise):
    return [by_agent.get(name, otherwise) for name in NAMES]


def assert_rows(observations, rows, wanted):
    """Rows of observations are those of the agents, or zeros."""
    expected = rows_of(wanted, NOTHING)
    assert observations["seen"][rows].tobytes() == np.stack([e["seen"] for e in expected]).tobytes()
    assert observations["n"][rows].tolist() == [each["n"] for each in expected]


def assert_masks(infos, rows, env, present):
    for name, agents in (("living", env.agents), ("present", present)):
        assert infos[name].dtype == bool
        assert infos[name][rows].tolist() == [agent in agents for agent in NAMES]


def assert_infos(infos, rows, told):
    """What agents told, in batched infos."""
    for row, name in zip(range(rows.start, rows.stop), NAMES, strict=True):
        said = told.get(name, {})
        for key in ("health", "deep"):
            assert bool(key in infos and infos["_" + key][row]) == (key in said)
        if said:
            assert infos["health"][row] == said["health"]
            assert infos["deep"]["t"][row] == said["deep"]["t"]


@pytest.mark.parametrize(
    ("place", "mode"),
    [(place, "SameStep") for place in PLACES]
    + [("caller", "NextStep"), ("workers", "NextStep"), ("interpreter", "NextStep")],
)
def test_rows_are_those_of_the_envs(place, mode):
    with crowds(place, 3, mode, length=25) as envs:
        play_beside_the_envs(envs, 3, mode)


def play_beside_the_envs(envs, count, mode):
    plain = [Crowd(length=25) for _ in range(count)]
    slices = [slice(4 * n, 4 * n + 4) for n in range(count)]
    assert isinstance(envs, VectorEnv) and envs.num_envs == 12
    assert envs.single_observation_space == Crowd().observation_space("red")
    assert envs.single_action_space == Crowd().action_space("red")
    observations, infos = envs.reset(seed=5)
    for n, rows in enumerate(slices):  # the rows of an env begin at 4 n
        seen, _ = plain[n].reset(seed=5 + 4 * n)
        assert_rows(observations, rows, seen)
        assert_masks(infos, rows, plain[n], seen)
    ends, returns = 0, 0
    envs.action_space.seed(1)
    for _ in range(300):
        actions = envs.action_space.sample()
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        assert rewards.dtype == np.float64
        for rows, env in zip(slices, plain, strict=True):
            if not env.agents:  # in the mode NextStep, after the end
                seen, told = env.reset()
                assert not rewards[rows].any()
                assert not (terminations | truncations)[rows].any()
                assert_rows(observations, rows, seen)
                assert_masks(infos, rows, env, seen)
                continue
            before = env.agents
            acting = dict(zip(NAMES, actions[rows], strict=True))
            told = env.step({name: acting[name] for name in before})
            seen, *outcomes, said = told
            for ours, theirs in zip((rewards, terminations, truncations), outcomes, strict=True):
                assert ours[rows].tolist() == rows_of(theirs, 0)
            gone = [name for name in NAMES if outcomes[1].get(name) or outcomes[2].get(name)]
            returns += len(set(env.agents) - set(before))
            ends += not env.agents
            if mode == "NextStep":
                assert_rows(observations, rows, seen)
                assert_masks(infos, rows, env, seen)
                assert_infos(infos, rows, said)
                continue
            if gone:
                assert infos["_final_obs"][rows].tolist() == [name in gone for name in NAMES]
                for row, name in enumerate(NAMES, rows.start):
                    if name in gone:
                        last = infos["final_obs"][row]
                        assert last["seen"].tobytes() == seen[name]["seen"].tobytes()
                        assert last["n"] == seen[name]["n"]
                final = infos.get("final_info", {})
                assert_infos(final, rows, {name: said[name] for name in gone})
            if env.agents:
                seen = {name: each for name, each in seen.items() if name not in gone}
                assert_infos(infos, rows, {k: v for k, v in said.items() if k not in gone})
            else:
                seen, _ = env.reset()
            assert_rows(observations, rows, seen)
            assert_masks(infos, rows, env, seen)
    assert ends > 30 and returns > 30


@pytest.mark.filterwarnings("ignore:.*ERROR")
@pytest.mark.parametrize("place", ["workers", "interpreter"])
def test_disabled(place):
    with crowds(place, 4, "Disabled", length=9) as envs:
        envs.reset(seed=3)
        living = np.ones(8, bool)
        while living[:4].any():
            infos = envs.step(envs.action_space.sample())[4]
            living = infos["living"]
        with pytest.raises(ValueError, match="reset together"):
            envs.reset(options={"reset_mask": np.arange(16) < 2})
        infos = envs.reset(options={"reset_mask": np.arange(16) < 8})[1]
        assert infos["living"][:4].any()


@pytest.mark.parametrize("place", PLACES)
def test_attributes(place):
    with crowds(place, 2, length=7) as envs:
        envs.reset(seed=0)
        assert envs.get_attr("possible_agents") == (NAMES,) * 8
        assert envs.get_attr("length") == (7,) * 8
        envs.set_attr("length", 3)
        assert envs.call("length") == (3,) * 8
        envs.set_attr("length", [2, 0, 0, 0, 4, 0, 0, 0])
        assert envs.call("length") == (2,) * 4 + (4,) * 4
        if place != "host":  # which sends pictures only
            assert envs.render() == ("at 0",) * 8
        assert envs.metadata["name"] == "crowd_v0"
        assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP


def test_messages_name_what_users_know():
    envs = agents_vec(EnvSource(CROWD), 1, num_workers=1)
    envs.close()
    with pytest.raises(ClosedEnvironmentError, match="operate on `AgentVectorEnv`"):
        envs.get_attr("length")


def test_wrapper_of_gymnasium():
    envs = RecordEpisodeStatistics(agents_vec(Crowd, 2, num_workers=1))
    envs.reset(seed=0)
    lengths = []
    for _ in range(100):
        infos = envs.step(envs.action_space.sample())[4]
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    envs.close()
    assert len(lengths) > 10


def test_what_is_refused():
    with pytest.raises(SpaceMismatchError, match=r"'red'.*'blue'.*pad_"):
        AgentVectorEnv([Battle])
    with pytest.raises(SpaceMismatchError, match="observation_space"):
        agents_vec(Battle, 2, num_workers=1)
    with pytest.raises(WorkerSourceError, match="take turns"):
        AgentVectorEnv([Turns])
    with pytest.raises(SourceError, match="not a parallel env"):
        AgentVectorEnv([lambda: 3])
    with pytest.raises(SpaceMismatchError, match="observation_space"):
        agents_vec(f"{FILE}:Battle", 2, launcher=Python(sys.executable))
    with pytest.raises(SourceError, match="not a vector env of parallel envs"):
        agents_vec(EnvSource("CartPole-v1"), 2)
    with pytest.raises(SourceError, match="its own kwargs"):
        agents_vec(EnvSource(CROWD), 2, {"length": 3})
