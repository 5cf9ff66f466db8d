# SPDX-License-Identifier: MIT
"""Spaces as Remote Gymnasium's clients read them."""

from __future__ import annotations

from typing import Any

from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Space,
    Text,
    Tuple,
)

from envring.gateways.web.json_text import array


def described(space: Space[Any]) -> dict[str, Any]:
    """A space as an object: its `type`, and what it was made with."""
    found: dict[str, Any] = {"type": type(space).__name__}
    match space:
        case Box():
            found |= {"shape": list(space.shape), "dtype": str(space.dtype)}
            found |= {"low": array(space.low), "high": array(space.high)}
        case Discrete():
            found |= {"n": int(space.n), "start": int(space.start)}
        case MultiDiscrete():
            found |= {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        case MultiBinary():
            found["n"] = list(space.shape) if len(space.shape) != 1 else space.shape[0]
        case Text():
            found |= {"min_length": space.min_length, "max_length": space.max_length}
            found["characters"] = space.characters
        case Tuple() | OneOf():
            found["spaces"] = [described(child) for child in space.spaces]
        case Dict():
            found["spaces"] = {key: described(child) for key, child in space.items()}
        case Sequence():
            found |= {"space": described(space.feature_space), "stack": space.stack}
        case Graph():
            edges = space.edge_space
            found["node_space"] = described(space.node_space)
            found["edge_space"] = None if edges is None else described(edges)
    return found
