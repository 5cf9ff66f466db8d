# SPDX-License-Identifier: MIT
"""Workers that cannot load the library: the caller takes part in the rings for them."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import envring
from envring.launchers.base import Launch, Needs
from envring.testing import assert_same_batch
from foreign.home import both, plain, running


@dataclass(frozen=True)
class WithoutLibrary(envring.Python):
    """This interpreter, told of a library that is not there."""

    def prepare(self, needs: Needs) -> Launch:
        def elsewhere(path: str) -> str:
            return path.replace("libenvring.so", "nothing.so")

        return dataclasses.replace(super().prepare(needs), map_path=elsewhere)


HERE = WithoutLibrary(sys.executable)


def steps(envs, oracle, count=60):
    for env in (envs, oracle):
        env.action_space.seed(1)
    assert_same_batch(envs.reset(seed=5), oracle.reset(seed=5))
    for _ in range(count):
        assert_same_batch(
            envs.step(envs.action_space.sample()), oracle.step(oracle.action_space.sample())
        )


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_same_as_sync(mode):
    with both([plain()] * 5, HERE, num_workers=2, autoreset_mode=mode) as (envs, oracle):
        assert len(envs._batcher.pool.relays) == 2
        steps(envs, oracle)


def test_beside_workers_with_the_library():
    sources = [plain()] * 2
    sources += [dataclasses.replace(source, launcher=HERE) for source in [plain()] * 3]
    sources += [plain()] * 2
    with both(sources, envring.Python(sys.executable), num_workers=3) as (envs, oracle):
        parts = envs._batcher.pool.parts
        assert [list(part.pool.relays) for part in parts] == [[], [0]]
        assert [part.which for part in parts] == [[0, 2], [1]]
        steps(envs, oracle)


def test_a_reply_longer_than_any_ring():
    with running([plain()] * 2, HERE, num_workers=1) as envs:
        envs.reset(seed=1)
        text = "x" * (1 << 20)
        envs.set_attr("anything", [text, text + "y"])
        assert envs.get_attr("anything") == (text, text + "y")


def test_a_timeout_and_what_comes_after_it(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text(Path(__file__).with_name("plain_envs.py").read_text() + SLOW)
    gate = tmp_path / "gate"
    source = envring.EnvSource(f"{file}:Slow", kwargs={"gate": str(gate)})
    with running([source] * 2, HERE, num_workers=2) as envs:
        envs.reset(seed=1)
        envs.step_async(np.zeros(2, np.int64))
        with pytest.raises(multiprocessing.TimeoutError):
            envs.step_wait(timeout=0.05)  # while it is shut
        gate.touch()
        assert len(envs.step(np.zeros(2, np.int64))[1]) == 2


SLOW = """

class Slow(Plain):
    def __init__(self, gate):
        Plain.__init__(self)
        self._gate = gate

    def step(self, action):
        until = time.time() + 20
        while not os.path.exists(self._gate) and time.time() < until:
            time.sleep(0.01)
        return Plain.step(self, action)
"""


def test_a_killed_worker_is_noticed():
    with running([plain()] * 2, HERE, num_workers=2) as envs:
        envs.reset(seed=1)
        os.kill(envs.processes[1].pid, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(envring.WorkerDied, match="env 1"):
            envs.step(np.zeros(2, np.int64))
        assert time.monotonic() - began < 10
