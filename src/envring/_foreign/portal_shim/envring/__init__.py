# SPDX-License-Identifier: MIT
"""For an env_main.py that imports EnvSidePortal from envring, which is not installed there."""

from portal_env import EnvSidePortal

__all__ = ["EnvSidePortal"]
