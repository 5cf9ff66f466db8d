# SPDX-License-Identifier: MIT
"""A time limit for every test of this folder, and vector envs in every home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from envring import RingVectorEnv
from envring.testing import deadline
from envring.testing.conformance_base import quiet
from support.processes import counting_fns

HOMES = [(0, "compiled"), (0, "reference"), (2, "compiled"), (2, "reference")]


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    with deadline(40):
        yield


@pytest.fixture(params=HOMES, ids=lambda home: f"{home[0]}-{home[1]}")
def home(request: pytest.FixtureRequest) -> dict[str, Any]:
    workers, loop = request.param
    return {"num_workers": workers, "step_loop": loop}


@pytest.fixture
def envs(home: dict[str, Any]) -> Iterator[Any]:
    envs = RingVectorEnv(counting_fns(3), **home)
    envs.reset(seed=0)
    yield envs
    with quiet():
        envs.close()


@pytest.fixture
def made() -> Iterator[Callable[..., RingVectorEnv[Any, Any]]]:
    """Makes vector envs whose workers are started again."""
    envs: list[RingVectorEnv[Any, Any]] = []

    def make(fns: Any, **kwargs: Any) -> RingVectorEnv[Any, Any]:
        envs.append(RingVectorEnv(fns, on_worker_death="restart", **kwargs))
        return envs[-1]

    yield make
    for each in envs:
        each.close()


@pytest.fixture
def replacing() -> Iterator[Callable[..., RingVectorEnv[Any, Any]]]:
    """Makes vector envs whose workers, one for each env, are replaced between episodes."""
    envs: list[RingVectorEnv[Any, Any]] = []

    def make(fns: Any, every: Any, **kwargs: Any) -> RingVectorEnv[Any, Any]:
        kwargs.setdefault("num_workers", len(fns))
        envs.append(RingVectorEnv(fns, restart_every=every, **kwargs))
        return envs[-1]

    yield make
    for each in envs:
        each.close()
