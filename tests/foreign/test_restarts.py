# SPDX-License-Identifier: MIT
"""on_worker_death="restart" with workers in another interpreter."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from envring import EnvSource, LauncherError, LaunchError, RingVectorEnv, make_vec
from envring.launchers.prefix import Python
from envring.testing import assert_same_batch
from envring.workers.handle import catching
from envring.workers.stderr import STACK_SIGNAL
from support.processes import assert_gone
from support.rebuilt import Rebuilt
from support.restarts import slow_to_look

PYTHON = f"python:{sys.executable}"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert_gone(pid, 5)


@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_killed(mode: str, env: str) -> None:
    envs = make_vec(
        env, 4, launcher=PYTHON, num_workers=2, autoreset_mode=mode, on_worker_death="restart"
    )
    envs.reset(seed=0)
    last: Any = envs.step(np.zeros(4, np.int64))[0]
    kill(envs.processes[1].pid)
    observations, rewards, _, truncations, infos = envs.step(np.zeros(4, np.int64))
    assert truncations[2:].all()
    assert (rewards[2:] == 0).all()
    assert infos["worker_restarted"].tolist() == [False, False, True, True]
    if mode == "SameStep":
        assert infos["final_obs"][2:].tolist()[0].tolist() == last[2].tolist()
    else:
        assert_same_batch(observations[2:], last[2:])
    envs.step(np.zeros(4, np.int64))
    envs.send(np.zeros(4, np.int64))
    kill(envs.processes[0].pid)
    assert envs.recv(4)[0].shape == last.shape
    assert envs.stats().workers[1].restarts == 1
    envs.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_replaced_between_episodes(mode: str) -> None:
    """Results are those of envs of this process that are built anew."""
    envs = make_vec(
        "CartPole-v1",
        2,
        launcher=PYTHON,
        num_workers=2,
        autoreset_mode=mode,
        restart_every={"episodes": 2},
    )
    fns = [lambda: Rebuilt(lambda: gym.make("CartPole-v1"), 2)] * 2
    oracle = SyncVectorEnv(fns, autoreset_mode=mode)
    assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
    for _ in range(60):
        assert_same_batch(envs.step(np.zeros(2, np.int64)), oracle.step([0, 0]))
    stats = envs.stats()
    assert min(worker.planned_restarts for worker in stats.workers) >= 2
    envs.close()


@pytest.mark.parametrize("first", ["message", "death"])
@pytest.mark.parametrize("why", ["env", "interpreter"])
def test_it_cannot_be_built_again(
    why: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says why, even if the new process is found dead before it is heard."""
    script, module = tmp_path / "python", tmp_path / "licensed.py"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o700)
    module.write_text("import gymnasium\n\ndef make():\n    return gymnasium.make('CartPole-v1')\n")
    source = EnvSource(f"{module}:make", launcher=f"python:{script}")
    envs = RingVectorEnv([source], restart_every={"episodes": 1})
    if first == "death":
        slow_to_look(monkeypatch)
    if why == "env":
        module.write_text("raise OSError('the licence has expired')\n")
    else:
        script.write_text("#!/bin/sh\necho the licence has expired >&2; exit 3\n")

    def play() -> None:
        envs.reset()
        for _ in range(600):
            envs.step(np.zeros(1, np.int64))

    with pytest.raises(LaunchError, match="licence"):
        play()
    envs.close()


@pytest.mark.parametrize("launchers", [[None, "docker:python:3.11"], ["docker:python:3.11"] * 2])
def test_other_launchers_are_refused(launchers: Any) -> None:
    fns = [EnvSource("CartPole-v1", launcher=each) for each in launchers]
    with pytest.raises(LauncherError):
        RingVectorEnv(fns, num_workers=2, on_worker_death="restart")


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap: nothing is confined")
@pytest.mark.parametrize("whom", ["sandbox", "worker"])
def test_in_a_sandbox(whom: str) -> None:
    """Killed is the sandbox around the worker, or the worker in it."""
    launcher = Python(sys.executable, sandbox=True)
    envs = make_vec("CartPole-v1", 2, launcher=launcher, num_workers=2, on_worker_death="restart")
    envs.reset(seed=0)
    last: Any = envs.step(np.zeros(2, np.int64))[0]
    for _ in range(2):
        outer = envs.processes[1].pid
        inner = catching(outer, STACK_SIGNAL)
        assert inner not in (None, outer)
        os.kill(outer if whom == "sandbox" else inner, signal.SIGKILL)
        assert_gone(outer, 5)
        until = time.monotonic() + 20
        while time.monotonic() < until:  # what is inside answers until that is noticed
            observations, _, _, truncations, _ = envs.step(np.zeros(2, np.int64))
            if truncations.any() or whom == "worker":
                break
            last = observations
        assert truncations.tolist() == [False, True]
        assert_same_batch(observations[1], last[1])
        envs.reset()
        last = envs.step(np.zeros(2, np.int64))[0]
    envs.close()
