# SPDX-License-Identifier: MIT
"""Gymnasium environments in worker processes, stepped as one vector env through shared memory."""

import sys as _sys

if not _sys.platform.startswith("linux"):
    raise ImportError(
        f"envring runs on Linux (x86-64, aarch64) so far, not on {_sys.platform}: its workers are "
        "woken by futexes. Use gymnasium.vector.AsyncVectorEnv there."
    )

from envring._version import __version__
from envring.errors import (
    ActionError,
    ConcurrentCallError,
    EmptyVectorError,
    EnvFnError,
    EnvringError,
    InfoError,
    LaunchError,
    LayoutMismatch,
    ObservationError,
    RemoteEnvError,
    RemoteTraceback,
    UnsendableError,
    WorkerDied,
    WorkerTimeout,
)
from envring.registration import make, make_vec, register, register_all
from envring.segment import SegmentMemoryError
from envring.single import RingEnv
from envring.spaces import SpaceMismatchError
from envring.vector import RingVectorEnv

__all__ = [
    "ActionError",
    "ConcurrentCallError",
    "EmptyVectorError",
    "EnvFnError",
    "EnvringError",
    "InfoError",
    "LaunchError",
    "LayoutMismatch",
    "ObservationError",
    "RemoteEnvError",
    "RemoteTraceback",
    "RingEnv",
    "RingVectorEnv",
    "SegmentMemoryError",
    "SpaceMismatchError",
    "UnsendableError",
    "WorkerDied",
    "WorkerTimeout",
    "__version__",
    "make",
    "make_vec",
    "register",
]

register_all()
del register_all
