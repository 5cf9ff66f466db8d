# SPDX-License-Identifier: MIT
"""Arguments of RingVectorEnv that are refused at the door."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from envring.errors import EmptyVectorError, EnvFnError


def check_env_fns(env_fns: Any) -> None:
    """Refuses what is no list of functions."""
    if len(env_fns) == 0:
        raise EmptyVectorError("env_fns is empty. Give one function per env.")
    for i, fn in enumerate(env_fns):
        if not callable(fn):
            raise EnvFnError(
                f"env_fns[{i}] is {fn!r}, which cannot be called, so env {i} cannot be built. Give "
                "functions that return envs: [lambda: gym.make(...)] * n."
            )


def check_worker(worker: Callable[..., None] | None) -> None:
    """Refuses a worker of the caller's."""
    if worker is None:
        return
    try:
        inspect.signature(worker).bind(*(None,) * 8)
    except TypeError as error:
        raise ValueError(
            "A custom `worker` must accept 8 arguments. Got the signature "
            f"{inspect.signature(worker)}."
        ) from error
    raise ValueError(
        "A custom `worker` cannot run here: envs are not driven through pipes. Wrap the envs "
        "instead (gymnasium.Wrapper), or keep gymnasium.vector.AsyncVectorEnv for this one."
    )
