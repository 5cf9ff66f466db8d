# SPDX-License-Identifier: MIT
"""Gymnasium environments in worker processes, stepped as one vector env through shared memory."""

import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if not _sys.platform.startswith("linux"):
    raise ImportError(
        f"envring needs Linux (x86-64, aarch64) and does not run on {_sys.platform}: its workers "
        "wait on futexes. Use gymnasium.vector.AsyncVectorEnv on this system."
    )

from envring._version import __version__
from envring.api.making import make, make_vec, register, register_all
from envring.api.single import RingEnv
from envring.api.vector import RingVectorEnv
from envring.batch.spaces import SpaceMismatchError
from envring.errors import (
    ActionError,
    AddressError,
    CodecError,
    ConcurrentCallError,
    EmptyVectorError,
    EnvFnError,
    EnvringError,
    HandshakeError,
    HostLost,
    HostRefused,
    InfoError,
    InterpreterError,
    LauncherError,
    LaunchError,
    LayoutMismatch,
    ObservationError,
    RemoteEnvError,
    RemoteTraceback,
    SolveError,
    SourceError,
    SpaceDataError,
    SpecError,
    StaleViewError,
    UnsendableError,
    WireError,
    WorkerDied,
    WorkerRestarted,
    WorkerTimeout,
)
from envring.launchers.base import Launch, Launcher, Needs, Sandbox
from envring.launchers.prefix import Prefix, Python
from envring.launchers.program import Program, get_include
from envring.launchers.sources import EnvSource
from envring.pool.remotes import CLIENTS as _CLIENTS
from envring.pool.remotes import ENGINES as _ENGINES
from envring.pool.stats import Stats, WorkerStats
from envring.transport.segment import SegmentMemoryError

if _TYPE_CHECKING:
    from envring.api.portal import AgentSidePortal, EnvSidePortal
    from envring.gateways.serving import serve
    from envring.launchers.docker import Docker
    from envring.launchers.micromamba import Micromamba
    from envring.launchers.uv import Uv

__all__ = [
    "ActionError",
    "AddressError",
    "AgentSidePortal",
    "CodecError",
    "ConcurrentCallError",
    "Docker",
    "EmptyVectorError",
    "EnvFnError",
    "EnvSidePortal",
    "EnvSource",
    "EnvringError",
    "HandshakeError",
    "HostLost",
    "HostRefused",
    "InfoError",
    "InterpreterError",
    "Launch",
    "LaunchError",
    "Launcher",
    "LauncherError",
    "LayoutMismatch",
    "Micromamba",
    "Needs",
    "ObservationError",
    "Prefix",
    "Program",
    "Python",
    "RemoteEnvError",
    "RemoteTraceback",
    "RingEnv",
    "RingVectorEnv",
    "Sandbox",
    "SegmentMemoryError",
    "SolveError",
    "SourceError",
    "SpaceDataError",
    "SpaceMismatchError",
    "SpecError",
    "StaleViewError",
    "Stats",
    "UnsendableError",
    "Uv",
    "WireError",
    "WorkerDied",
    "WorkerRestarted",
    "WorkerStats",
    "WorkerTimeout",
    "__version__",
    "get_include",
    "make",
    "make_vec",
    "register",
    "serve",
]

# imported on first access: most programs use none of these
_LAZY = {
    "AgentSidePortal": "api.portal",
    "Docker": "launchers.docker",
    "EnvSidePortal": "api.portal",
    "Micromamba": "launchers.micromamba",
    "Uv": "launchers.uv",
    "serve": "gateways.serving",
}


def __getattr__(name: str) -> _Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"envring.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def _start_on_ray(text: str, envs: _Any, timeout: float | None) -> _Any:
    from envring.cluster.remotes import start

    return start(text, envs, timeout)


def _ask_server(address: _Any, source: _Any) -> _Any:
    from envring.callers.clients import client

    return client(address, source)


_ENGINES["ray"] = _start_on_ray
_CLIENTS.update(dict.fromkeys(("grpc", "grpcs", "openenv", "openenvs"), _ask_server))
register_all()
del register_all
