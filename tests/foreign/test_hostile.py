# SPDX-License-Identifier: MIT
"""Nothing that a foreign worker says is believed, and nothing of it is run."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import envring
from envring.launchers.base import Launch, Needs
from envring.workers import foreign
from foreign.home import plain, running

FAKE = Path(__file__).with_name("hostile.py")


@dataclass(frozen=True)
class Hostile(envring.Python):
    """This interpreter, running a worker that lies."""

    case: str = "honest"
    trap: str = "/nowhere"

    def prepare(self, needs: Needs) -> Launch:
        launch = super().prepare(needs)
        return dataclasses.replace(
            launch,
            argv=(*launch.argv, str(FAKE), self.case),
            environ={**launch.environ, "TRAP": self.trap},
        )


@pytest.fixture
def hostile(tmp_path):
    trap = tmp_path / "trap"

    def make(case):
        return Hostile(sys.executable, case=case, trap=str(trap))

    yield make
    assert not trap.exists(), "something was unpickled"


def use(launcher):
    """Does a little of everything."""
    with running([plain(), plain(infos="objects")], launcher, num_workers=1) as envs:
        envs.reset(seed=1)
        for _ in range(5):
            envs.step(np.zeros(2, np.int64))
        envs.call("render")


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("talks without end", envring.HandshakeError),
        ("hello is a pickle", envring.HandshakeError),
        ("hello is a number", envring.HandshakeError),
        ("hello is endless", envring.HandshakeError),
        ("hello begins with numbers", envring.HandshakeError),
        ("ready begins with numbers", envring.HandshakeError),
        ("attached is numbers", envring.HandshakeError),
        ("a failure of numbers", envring.EnvringError),
        ("ready is a pickle", envring.EnvringError),
        ("ready is nothing", envring.HandshakeError),
        ("ready comes twice", envring.HandshakeError),
        ("no spaces", envring.HandshakeError),
        ("spaces that are not there", envring.HandshakeError),
        ("a space of another kind", envring.SpaceDataError),
        ("a space as large as the sea", envring.SpaceDataError),
        ("spaces that are a number", envring.HandshakeError),
        ("fewer envs than it was given", envring.HandshakeError),
        ("a space of less than nothing", envring.SpaceDataError),
        ("a failure as a pickle", envring.EnvringError),
        ("a failure without words", envring.EnvringError),
        ("results that are too many", envring.EnvringError),
        ("an info of another's env", envring.EnvringError),
        ("an info that is none", envring.EnvringError),
        ("a leaf that is no number", envring.EnvringError),
        ("a leaf that is not there", envring.EnvringError),
        ("finals that are no bytes", envring.EnvringError),
        ("finals that are no value", envring.EnvringError),
        ("objects that are no list", envring.EnvringError),
        ("a reply without parts", envring.EnvringError),
        ("a reply that is a pickle", envring.EnvringError),
    ],
)
def test_lies(hostile, case, error):
    with pytest.raises(error) as caught:
        use(hostile(case))
    assert type(caught.value) is not envring.WorkerDied


def test_the_same_worker_without_a_lie(hostile):
    use(hostile("honest"))


@pytest.mark.parametrize("case", ["says nothing", "hello never ends"])
def test_silence(hostile, case, monkeypatch):
    monkeypatch.setattr(foreign, "HANDSHAKE_TIMEOUT", 1.0)
    with pytest.raises(
        envring.HandshakeError, match=r"said nothing within 1 seconds[^\0]*envs 0, 1"
    ):
        use(hostile(case))
