# SPDX-License-Identifier: MIT
"""Envs of simulators that would write files to the current directory."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium


def half_cheetah() -> gymnasium.Env[Any, Any]:
    """Gymnasium's HalfCheetah-v5, without MuJoCo's warnings.

    MuJoCo warns of Gymnasium's model in a file that it makes in the current directory.

    Raises:
        ImportError: if MuJoCo is not installed.
    """
    importlib.import_module("mujoco").set_mju_user_warning(_drop)
    return gymnasium.make("HalfCheetah-v5")


def _drop(message: str) -> None:
    """Ignore a warning."""
