# SPDX-License-Identifier: MIT
"""Takes the place of Portal-Env in a worker: a portal hands its factory over instead of serving."""

from .env_side_portal import EnvSidePortal

__all__ = ["EnvSidePortal"]
