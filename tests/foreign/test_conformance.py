# SPDX-License-Identifier: MIT
"""The conformance suite of the workers at home, over workers that a launcher starts."""

from __future__ import annotations

import functools
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import cloudpickle
import pytest

import envring.testing
from envring import (
    EnvSource,
    Python,
    RemoteEnvError,
    RingVectorEnv,
    SpaceDataError,
    UnsendableError,
)
from envring.testing import AsyncVectorEnvConformance
from envring.transport.pickling import dumps_by_value
from support.known_failures import Known, mark_known_failures

Observation = TypeVar("Observation")
Action = TypeVar("Action")
LOADER = Path(__file__).with_name("pickled.py")

# What an interpreter that gets nothing but data cannot give. A test that passes all the same fails.
_NO_DATA = Known("an environment is no plain data", RemoteEnvError, "cannot be sent")
_SUBCLASS = Known(
    "a subclass would not arrive as what it is", AssertionError, "dtype int64, expected object"
)
_ARRAYS = Known("a subclass would not arrive as what it is", RemoteEnvError, "cannot be sent")
_CUSTOM = Known("nobody else knows such a space", SpaceDataError, "CustomSpace cannot be described")
KNOWN_DIFFERENT = {
    "seeds": _NO_DATA,
    "call": _NO_DATA,
    "attributes_through_wrappers": _NO_DATA,
    "exceptions_keep_their_arguments": Known(
        "they arrive as text", RemoteEnvError, "raised KeyError: 'goal'"
    ),
    "action_space_graph": Known(
        "a graph is no plain data on its way there", UnsendableError, "GraphInstance"
    ),
    "infos_subclasses_nextstep": _SUBCLASS,
    "infos_subclasses_samestep": _SUBCLASS,
    "infos_int_then_subclass_nextstep": _SUBCLASS,
    "infos_int_then_subclass_samestep": _SUBCLASS,
    "infos_array_subclass_nextstep": _ARRAYS,
    "infos_array_subclass_samestep": _ARRAYS,
    "observation_space_custom": _CUSTOM,
    "action_space_custom": _CUSTOM,
    "action_space_mixed": _CUSTOM,
}


class ForeignRing(RingVectorEnv[Any, Any], Generic[Observation, Action]):
    """RingVectorEnv in workers of this interpreter that are started as if they were of another."""

    @functools.wraps(RingVectorEnv.__init__)
    def __init__(self, env_fns: Any, *args: Any, **kwargs: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            sources = [
                _source(fn, Path(folder, str(index))) if callable(fn) else fn
                for index, fn in enumerate(env_fns)
            ]
            super().__init__(sources, *args, launcher=Python(sys.executable), **kwargs)
        self.env_fns = env_fns


@pytest.fixture(scope="module", autouse=True)
def _envs_by_value() -> Iterator[None]:
    """Workers need not import the suite, which would double the time that they take to start."""
    cloudpickle.register_pickle_by_value(envring.testing)
    yield
    cloudpickle.unregister_pickle_by_value(envring.testing)


def _source(fn: Callable[[], Any], path: Path) -> EnvSource:
    path.write_bytes(dumps_by_value(fn)[0])
    return EnvSource(f"{LOADER}:load", args=[str(path)])


class TestForeignWorkers(AsyncVectorEnvConformance):
    vector_class = ForeignRing
    env_error = RemoteEnvError
    vector_kwargs: ClassVar[dict[str, Any]] = {"num_workers": 2}

    @pytest.fixture(autouse=True)
    def _fewer_workers(self, request: pytest.FixtureRequest) -> None:
        """One does for each space and each kind of info; starting them is what takes time."""
        if re.match("test_(infos|observation_space|action_space)_", request.node.name):
            self.vector_kwargs = {"num_workers": 1}  # type: ignore[misc]


mark_known_failures(TestForeignWorkers, KNOWN_DIFFERENT)
