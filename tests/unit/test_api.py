# SPDX-License-Identifier: MIT
"""The names, signatures and classes that users rely on; making vector environments by id."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest
from gymnasium.vector import AsyncVectorEnv

import envring
from envring import RingVectorEnv, errors

NAMES = {
    "RingVectorEnv",
    "RingEnv",
    "make",
    "make_vec",
    "EnvringError",
    "WorkerDied",
    "LaunchError",
    "WorkerTimeout",
    "ObservationError",
    "ActionError",
    "ConcurrentCallError",
    "RemoteEnvError",
    "LayoutMismatch",
    "InfoError",
    "__version__",
}
BASES = {
    "WorkerDied": (RuntimeError,),
    "LaunchError": (RuntimeError,),
    "WorkerTimeout": (TimeoutError,),
    "ObservationError": (ValueError, TypeError),
    "ActionError": (ValueError, TypeError),
    "ConcurrentCallError": (RuntimeError,),
    "RemoteEnvError": (RuntimeError,),
    "LayoutMismatch": (RuntimeError,),
    "InfoError": (ValueError,),
}
KEYWORDS = {
    "num_workers": None,
    "spin": None,
    "pin": False,
    "slots": None,
    "worker_env": None,
    "final_observation": False,
    "step_loop": "compiled",
    "start_timeout": None,
    "launcher": None,
}


def test_names() -> None:
    assert set(envring.__all__) >= NAMES
    assert len(envring.__all__) == len(set(envring.__all__))
    for name in envring.__all__:
        assert hasattr(envring, name)
        thing = getattr(envring, name)
        assert not inspect.isclass(thing) or thing.__doc__
    assert envring.__version__ == "0.1.0"


def test_typed() -> None:
    assert Path(envring.__file__).with_name("py.typed").exists()


@pytest.mark.parametrize("name", BASES)
def test_error_classes(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.EnvringError)
    assert issubclass(errors.EnvringError, Exception)
    for base in BASES[name]:
        assert issubclass(kind, base)


def test_worker_died_pickles() -> None:
    error = errors.WorkerDied((1, 2), 99, None, 9, "the end")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.env_ids, again.pid, again.exitcode, again.signal, again.stderr_tail) == (
        (1, 2),
        99,
        None,
        9,
        "the end",
    )


# ours are those of the newest
same_signatures = pytest.mark.skipif(
    "max_concurrency" not in inspect.signature(AsyncVectorEnv).parameters,
    reason="Gymnasium before 1.4 has other signatures: ours stay uncompared",
)


@same_signatures
def test_constructor() -> None:
    theirs = list(inspect.signature(AsyncVectorEnv).parameters.values())
    ours = list(inspect.signature(RingVectorEnv).parameters.values())
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.name, mine.kind, mine.default) == (other.name, other.kind, other.default)
    assert {mine.name: mine.default for mine in ours[len(theirs) :]} == KEYWORDS
    assert all(mine.kind is mine.KEYWORD_ONLY for mine in ours[len(theirs) :])


@same_signatures
@pytest.mark.parametrize(
    "name",
    [name for name in vars(AsyncVectorEnv) if not name.startswith("_")],
)
def test_methods_take_what_asyncvectorenvs_take(name: str) -> None:
    theirs = inspect.getattr_static(AsyncVectorEnv, name)
    ours = inspect.getattr_static(RingVectorEnv, name)
    assert type(ours) is type(theirs)
    if not callable(theirs):
        return
    mine, other = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    assert list(mine) == list(other)
    for parameter in other:
        assert mine[parameter].default == other[parameter].default
        assert mine[parameter].kind == other[parameter].kind
