# SPDX-License-Identifier: MIT
"""Replaces Portal-Env in a worker: a portal keeps its factory for the worker and does not serve."""

from .env_side_portal import EnvSidePortal

__all__ = ["EnvSidePortal"]
