# SPDX-License-Identifier: MIT
"""Workers that are programs without Python: examples/workers, compiled here."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import envring
from envring import EnvSource, Program, RingVectorEnv
from envring.workers.json_spaces import described
from support import programs

LOGGED = pytest.warns(UserWarning, match="ERROR: ")  # Gymnasium's way of telling of an env's error
WORKERS = Path(__file__).parents[2] / "examples" / "workers"


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    return programs.built(WORKERS / "cartpole.cpp", tmp_path_factory.mktemp("worker"))


@pytest.fixture
def make(cartpole):
    made = []

    def make(count=4, sources=None, **options):
        made.append(RingVectorEnv(sources or [cartpole] * count, num_workers=2, **options))
        return made[-1]

    yield make
    for envs in made:
        envs.close()


def play(envs, steps, seed=3):
    envs.action_space.seed(1)
    observations, infos = envs.reset(seed=seed)
    seen = [(observations, infos)]
    for _ in range(steps):
        seen.append(envs.step(envs.action_space.sample()))
    return seen


def test_pinned(make):
    cpus = sorted(os.sched_getaffinity(0))
    for pin, places in ((cpus[-1:], [{cpus[-1]}] * 2), (False, [set(cpus)] * 2)):
        for process, place in zip(make(pin=pin).processes, places, strict=True):
            threads = [int(each) for each in os.listdir(f"/proc/{process.pid}/task")]
            assert len(threads) > 1
            assert all(os.sched_getaffinity(thread) == place for thread in threads)


def test_the_example_is_short():
    assert len((WORKERS / "cartpole.cpp").read_text().splitlines()) <= 60


def test_spaces_are_those_of_the_json(make):
    envs, env = make(), gym.make("CartPole-v1")
    assert envs.single_action_space == env.action_space
    assert envs.single_observation_space == env.observation_space


def test_it_is_the_same_game(make):
    """From where it was reset, to what float32 of that state leaves."""
    envs = make(autoreset_mode="Disabled")
    first, _ = envs.reset(seed=5)
    games = [gym.make("CartPole-v1") for _ in range(4)]
    for game, state in zip(games, first, strict=True):
        game.reset()
        game.unwrapped.state = state.astype(np.float64)
    ended = np.zeros(4, bool)
    for step in range(40):
        actions = np.array([1, 0, step % 2, step // 2 % 2])
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        assert infos == {} and not truncations.any()
        for i in np.flatnonzero(~ended):
            expected = games[i].step(int(actions[i]))
            np.testing.assert_allclose(observations[i], expected[0], rtol=1e-4, atol=1e-5)
            assert (rewards[i], terminations[i]) == expected[1:3]
        ended |= terminations
        if ended.all():
            break
    assert ended[:2].all()


def test_seeds_and_resets(make):
    envs = make()
    one, other = play(envs, 60), play(envs, 60)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_equal(left, right)
    assert len(np.unique(one[0][0][:, 0])) == 4
    ended = [step[2] for step in one[1:]]
    at = next(t for t, each in enumerate(ended) if each.any())
    after = one[at + 2]
    assert (np.abs(after[0][ended[at]]) <= 0.05).all()
    assert not after[1][ended[at]].any() and after[1][~ended[at]].all()
    before = envs.reset()[0]
    assert (before != envs.reset()[0]).any()


def test_masked_resets_keep_other_envs(make):
    envs = make(autoreset_mode="Disabled")
    play(envs, 3)
    before = envs.step(np.zeros(4, np.int64))[0]
    mask = np.array([False, True, False, True])
    after, _ = envs.reset(options={"reset_mask": mask})
    assert (after[~mask] == before[~mask]).all()
    assert (np.abs(after[mask]) <= 0.05).all()


def test_beside_python_envs(make, cartpole):
    envs = make(sources=[cartpole, cartpole, EnvSource("CartPole-v1")])
    (observations, _), *steps = play(envs, 30)
    alone = gym.make("CartPole-v1").reset(seed=5)[0]
    assert (observations[2] == alone).all()
    assert all((step[0] != 0).all() for step in steps)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64])
def test_actions_of_other_types(make, dtype):
    envs = make(autoreset_mode="Disabled")
    envs.reset(seed=1)
    expected = envs.step(np.array([0, 1, 1, 0]))[0]
    envs.reset(seed=1)
    assert (envs.step(np.array([0, 1, 1, 0], dtype))[0] == expected).all()
    envs.reset(seed=1)
    assert (envs.step([0, 1, 1, 0])[0] == expected).all()


def test_send_and_recv(make):
    envs = make(batch_size=2)
    envs.async_reset(seed=1)
    first = {}
    for _ in range(2):
        observations, *_, infos = envs.recv()
        first |= dict(zip(infos["env_id"].tolist(), observations, strict=True))
    envs.send(np.zeros(4, np.int64), np.arange(4))
    observations, rewards, *_ = envs.recv(4)
    assert rewards.tolist() == [1.0] * 4
    envs.reset(seed=1)
    assert (envs.step(np.zeros(4, np.int64))[0] == observations).all()


def test_rollouts(make):
    envs = make(slots=21)
    expected = play(envs, 20)
    rollout = envs.rollout()
    rollout.reset(seed=3)
    envs.action_space.seed(1)
    for _ in range(rollout.num_steps):
        rollout.step(envs.action_space.sample())
    told = expected[: rollout.num_steps + 1]
    assert (rollout.observations == [step[0] for step in told[:-1]]).all()
    assert (rollout.rewards == [step[1] for step in told[1:]]).all()


def test_what_an_env_throws_is_an_error_that_names_it(make):
    envs = make()
    envs.reset(seed=1)
    with LOGGED, pytest.raises(envring.RemoteEnvError, match=r"env 2 .*an action is 0 or 1"):
        envs.step(np.array([0, 1, 7, 0]))
    envs.step(np.zeros(4, np.int64))


def test_a_killed_one_is_named(make):
    envs = make()
    envs.reset()
    os.kill(envs.processes[1].pid, signal.SIGKILL)
    with pytest.raises(envring.WorkerDied) as caught:
        envs.step(np.zeros(4, np.int64))
    assert caught.value.env_ids == (2, 3)


CALLER = """
import sys, time
import envring
source = envring.EnvSource("CartPole-v1", launcher=envring.Program(sys.argv[1]))
envs = envring.RingVectorEnv([source] * 4, num_workers=2)
envs.reset()
print(*[process.pid for process in envs.processes], flush=True)
time.sleep(60)
"""


def test_none_outlives_its_caller(cartpole):
    command = [sys.executable, "-c", CALLER, cartpole.launcher.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        pids = list(map(int, caller.stdout.readline().split()))
        caller.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            handle = os.pidfd_open(pid)
            left = max(deadline - time.monotonic(), 0)
            assert select.select([handle], [], [], left)[0], "it has not ended"
            os.close(handle)


def test_one_env(cartpole):
    with envring.make("CartPole-v1", launcher=cartpole.launcher) as env:
        observation, _ = env.reset(seed=1)
        assert observation.shape == (4,)
        assert env.step(1)[1:] == (1.0, False, False, {})


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(envring.InterpreterError, match="does not exist"):
        RingVectorEnv([EnvSource("x-v0", launcher=Program(tmp_path / "nothing"))])
    with pytest.raises(envring.HandshakeError, match="exit code 0"):
        RingVectorEnv([EnvSource("x-v0", launcher="program:/bin/true")])


BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": [0, None], "high": 1}


def as_json(observation, action):
    return json.dumps({"observation_space": observation, "action_space": action})


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        json.dumps({"observation_space": BOX}),
        as_json(BOX, {"type": "Other"}),
        as_json(BOX, {"type": "Discrete", "n": "2"}),
        as_json(BOX, BOX | {"low": [0]}),
        as_json(BOX, BOX | {"dtype": "O"}),
        as_json(BOX, BOX | {"shape": [-2]}),
        "[" * 100_000,
    ],
)
def test_wrong_json_is_refused(text):
    with pytest.raises(envring.SpaceDataError):
        described({"spaces_json": text}, 1)


def test_bounds_of_json():
    told = described({"spaces_json": as_json(BOX, BOX | {"dtype": "int8"})}, 3)
    (kind,), which = told["observation_spaces"]
    assert which == [0, 0, 0] and kind[0] == "box" and kind[3:] == ("<f4", (2,))
    assert kind[1].tolist() == [0, -np.inf] and kind[2].shape == ()
    assert told["action_spaces"][0][0][1].tolist() == [0, -128]
