# SPDX-License-Identifier: MIT
"""What a host says of its envs, with the ids that they have here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envring.errors import WireError


def check_description(description: Mapping[str, Any], num_envs: int) -> None:
    """Refuses a description that does not say which spaces the envs have; see `build_space`."""
    for name in ("observation_spaces", "action_spaces"):
        match description.get(name):
            case (list() as kinds, list() as which) if len(which) == num_envs and all(
                type(kind) is int and 0 <= kind < len(kinds) for kind in which
            ):
                continue
        raise WireError(f"a host did not say which {name} its envs have")


def numbered(part: dict[str, Any], first: int) -> dict[str, Any]:
    """A reply with the ids that envs have here."""
    if not first:
        return part

    def moved(values: dict[int, Any]) -> dict[int, Any]:
        return {first + env_id: value for env_id, value in values.items()}

    return {
        **part,
        "failures": [(first + env_id, *rest) for env_id, *rest in part["failures"]],
        "dynamic": {leaf: moved(values) for leaf, values in part["dynamic"].items()},
        **{name: moved(part[name]) for name in ("finals", "objects", "odd")},
    }
