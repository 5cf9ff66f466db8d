# SPDX-License-Identifier: MIT
"""The peers, a module for each package, which only the peer's own process imports."""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import importlib.util
import itertools
from collections.abc import Mapping
from typing import Any

from envring.bench.peers import (
    bare,
    envpool,
    gymnasium_vector,
    pufferlib,
    ring,
    sb3,
    tianshou,
    torchrl,
)
from envring.bench.peers.base import Adapter, Peer, VectorPeer, draw_actions
from envring.bench.workloads import Workload

__all__ = [
    "Adapter",
    "Peer",
    "VectorPeer",
    "adapters",
    "build",
    "draw_actions",
    "find",
    "installed",
]


@functools.cache
def adapters() -> dict[str, Adapter]:
    """Every adapter by name, installed or not, in the order in which tables show them."""
    modules = (ring, gymnasium_vector, sb3, tianshou, pufferlib, torchrl, envpool, bare)
    return {each.name: each for each in itertools.chain(*(module.ADAPTERS for module in modules))}


def find(name: str) -> Adapter:
    """The adapter called `name`.

    Raises:
        ValueError: if there is no such peer.
    """
    try:
        return adapters()[name]
    except KeyError:
        known = list(adapters())
        close = difflib.get_close_matches(name, known, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"use one of {', '.join(known)}"
        raise ValueError(f"there is no peer {name!r}; {hint}") from None


def installed(adapter: Adapter) -> str | None:
    """The version of what `adapter` measures, or None if it is not installed.

    Nothing is imported to find out.
    """
    if adapter.package is not None and importlib.util.find_spec(adapter.package) is None:
        return None
    try:
        return importlib.metadata.version(adapter.distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown version"


def build(name: str, workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """Construct and reset the peer called `name`; its construction time excludes imports.

    Args:
        name: A key of `adapters`.
        workload: What it steps.
        num_envs: How many envs.
        options: Keyword arguments of its constructor; they override those of its preset.

    Raises:
        ValueError: if there is no such peer.
        ImportError: if it is not installed.
    """
    adapter = find(name)
    adapter.load()
    return adapter.build(workload, num_envs, {**adapter.preset, **options})
