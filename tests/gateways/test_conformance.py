# SPDX-License-Identifier: MIT
"""The conformance suite of local workers, over our wire."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import cloudpickle
import pytest

import envring.testing
from envring import EnvSource, RemoteEnvError, RingVectorEnv, serve
from envring.gateways.host import Host
from envring.testing import AsyncVectorEnvConformance
from envring.transport.pickling import dumps_by_value
from foreign.test_conformance import KNOWN_DIFFERENT, LOADER
from support.known_failures import mark_known_failures

Observation = TypeVar("Observation")
Action = TypeVar("Action")


class RemoteRing(RingVectorEnv[Any, Any], Generic[Observation, Action]):
    """RingVectorEnv whose envs are on a host."""

    host: ClassVar[Host]

    @functools.wraps(RingVectorEnv.__init__)
    def __init__(self, env_fns: Any, *args: Any, **kwargs: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            sources = [
                _source(fn, Path(folder, str(index))) if callable(fn) else fn
                for index, fn in enumerate(env_fns)
            ]
            super().__init__(sources, *args, remotes=self.host.url, **kwargs)
        self.env_fns = env_fns


def _source(fn: Callable[[], Any], path: Path) -> EnvSource:
    path.write_bytes(dumps_by_value(fn)[0])
    return EnvSource.elsewhere(f"{LOADER}:load", [str(path)])


@pytest.fixture(scope="module", autouse=True)
def _host() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(envring.testing)
    with serve(f"{LOADER}:load", kwargs={}) as host:
        RemoteRing.host = host
        yield
    cloudpickle.unregister_pickle_by_value(envring.testing)


class TestRemoteEnvs(AsyncVectorEnvConformance):
    vector_class = RemoteRing
    env_error = RemoteEnvError
    vector_kwargs: ClassVar[dict[str, Any]] = {}


mark_known_failures(TestRemoteEnvs, KNOWN_DIFFERENT)
