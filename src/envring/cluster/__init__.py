# SPDX-License-Identifier: MIT
"""Env hosts on the nodes of a cluster: placed and watched by an engine that people run already."""
