# SPDX-License-Identifier: MIT
"""The spaces of a vector env, from the descriptions of its workers' envs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gymnasium import Space, error
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces.utils import is_space_dtype_shape_equiv
from gymnasium.vector.utils import batch_differing_spaces, batch_space

from envring.batch.space_data import build_space
from envring.errors import EnvringError, format_env_ids


class SpaceMismatchError(EnvringError, RuntimeError, ValueError, TypeError):
    """The envs of one vector env have spaces that cannot be batched.

    Gymnasium raises any of its bases for this, depending on which check comes first.
    """


@dataclass(frozen=True)
class VectorSpaces:
    """Single and batched spaces, named as in gymnasium.vector.VectorEnv."""

    single_observation_space: Space[Any]
    observation_space: Space[Any]
    single_action_space: Space[Any]
    action_space: Space[Any]


def check_observation_mode(mode: Any) -> None:
    """Refuses what is not an observation mode, as AsyncVectorEnv does.

    Raises:
        TypeError: a pair of things that are not both spaces.
        ValueError: anything else.
    """
    if isinstance(mode, tuple) and len(mode) == 2:
        if not all(isinstance(space, Space) for space in mode):
            raise TypeError(
                "Expected both elements of observation_mode to be Spaces, got "
                f"{type(mode[0])} and {type(mode[1])}"
            )
    elif mode not in ("same", "different"):
        raise ValueError(
            "Invalid `observation_mode`, expected: 'same' or 'different' or tuple of single and "
            f"batch observation space, actual got {mode}"
        )


def translate(descriptions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Descriptions with the spaces and specs of other interpreters as Gymnasium's own.

    Raises:
        SpaceDataError: a description holds something else than spaces.
    """
    return [_translate(each) if each.get("foreign") else each for each in descriptions]


def _translate(description: Mapping[str, Any]) -> dict[str, Any]:
    translated: dict[str, Any] = {}
    for name in ("observation_spaces", "action_spaces"):
        kinds, which = description[name]
        translated[name] = ([build_space(kind) for kind in kinds], which)
    metadata, render_mode = description.get("metadata"), description.get("render_mode")
    translated["metadata"] = dict(metadata) if isinstance(metadata, dict) else {}
    translated["render_mode"] = render_mode if isinstance(render_mode, str) else None
    translated["spec"] = _spec(description.get("spec"))
    return translated


def _spec(data: Any) -> EnvSpec | None:
    if not isinstance(data, dict):
        return None
    known = {"id", "reward_threshold", "nondeterministic", "max_episode_steps", "order_enforce"}
    try:
        return EnvSpec(**{name: value for name, value in data.items() if name in known})
    except (error.Error, TypeError, ValueError, AttributeError):
        return None


def _per_env(descriptions: Sequence[Mapping[str, Any]], name: str) -> list[Space[Any]]:
    return [
        kinds[number] for kinds, which in (each[name] for each in descriptions) for number in which
    ]


def _differing(spaces: Sequence[Space[Any]], fits: Any) -> list[int]:
    """Envs whose space does not fit; each distinct space is compared once."""
    verdicts = {id(space): space for space in spaces}
    bad = {key for key, space in verdicts.items() if not fits(space)}
    return [env_id for env_id, space in enumerate(spaces) if id(space) in bad]


def _differ(bad: Sequence[int], spaces: Sequence[Space[Any]], expected: Any = None) -> str:
    """Both spaces, for a message."""
    other = "env 0, whose space is" if expected is None else "the space"
    return (
        f"{format_env_ids(bad)} differ from {other} {spaces[0] if expected is None else expected}; "
        f"that of env {bad[0]} is {spaces[bad[0]]}."
    )


def resolve(descriptions: Sequence[Mapping[str, Any]], mode: Any, name: str) -> VectorSpaces:
    """Batches the envs' spaces.

    Args:
        descriptions: of each worker (observation_spaces, action_spaces: distinct ones, and which
            env has which), in the order of envs.
        mode: "same", "different", or (batched space, single space).
        name: of the vector env's class, for messages.

    Raises:
        SpaceMismatchError: spaces that do not fit; it names the envs.
    """
    observation = _per_env(descriptions, "observation_spaces")
    action = _per_env(descriptions, "action_spaces")
    num_envs = len(observation)

    if isinstance(mode, tuple):
        batched, single = mode
    elif mode == "same":
        single = observation[0]
        batched = batch_space(single, num_envs)
    else:
        single = observation[0]
        try:
            batched = batch_differing_spaces(observation)
        except (AssertionError, TypeError, ValueError) as why:
            raise SpaceMismatchError(
                f"{name}(..., observation_mode='different') however the observation spaces of "
                f"{format_env_ids(range(num_envs))} cannot be batched: {why}"
            ) from why

    if mode == "same":
        bad = _differing(observation, lambda space: single == space)
        if bad:
            raise SpaceMismatchError(
                f"{name}(..., observation_mode='same') however some of the sub-environments "
                "observation spaces are not equivalent. If this is intentional, use "
                f"`observation_mode='different'` instead. {_differ(bad, observation)}"
            )
    else:
        bad = _differing(observation, lambda space: is_space_dtype_shape_equiv(single, space))
        if bad:
            raise SpaceMismatchError(
                f"{name}(..., observation_mode='different' or custom space) however the "
                "sub-environment's observation spaces do not share a common shape and dtype. "
                f"{_differ(bad, observation, single)}"
            )
    single_action = action[0]
    bad = _differing(action, lambda space: single_action == space)
    if bad:
        raise SpaceMismatchError(
            f"Some environments have an action space different from `{single_action}`. In order "
            "to batch actions, the action spaces from all environments must be equal. "
            f"{_differ(bad, action)}"
        )
    return VectorSpaces(single, batched, single_action, batch_space(single_action, num_envs))
