# SPDX-License-Identifier: MIT
"""Envs that ask servers of other projects: `remotes="grpc://..."` and `remotes="openenv://..."`."""
