# SPDX-License-Identifier: MIT
"""Seeds of envs whose worker was started again."""

from __future__ import annotations

import numpy as np


class Seeds:
    """The seeds that envs were given last, and those that follow from them."""

    def __init__(self) -> None:
        """Begins with envs that were given none."""
        self._given: dict[int, tuple[int, int]] = {}  # env id -> (seed, restarts since)

    def note(self, env_id: int, seed: int | None) -> None:
        """An env is given a seed."""
        if seed is not None:
            self._given[env_id] = seed, 0

    def count(self, first: int, end: int) -> None:
        """A run of envs is to be built anew."""
        for env_id in range(first, end):
            if env_id in self._given:
                seed, restarts = self._given[env_id]
                self._given[env_id] = seed, restarts + 1

    def fresh(self, first: int, end: int) -> dict[int, int]:
        """Seeds for the first resets of a run of envs that were built anew, by env id."""
        found = [(env_id, self._given.get(env_id)) for env_id in range(first, end)]
        return {i: fresh_seed(*given) for i, given in found if given is not None}


def fresh_seed(seed: int, restarts: int) -> int:
    """The seed of an env whose worker was restarted that often since it was given this seed."""
    return int(np.random.SeedSequence([seed, restarts]).generate_state(1)[0])
