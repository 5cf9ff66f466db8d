# SPDX-License-Identifier: MIT
"""What `copy=False` hands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class SharedObs:
    """A batch of observations that is handed out each time: always the same objects.

    Args:
        arrays: a slot's array per leaf, None for a leaf without a fixed size. Workers write into
            them.
        own: whether the observation has arrays of its own instead, which `copy` fills: a worker
            that dies may leave a row half written.

    Attributes:
        arrays: those of the observation.
        obs: the observation, after `refresh`.
    """

    def __init__(self, arrays: Sequence[Any], own: bool) -> None:
        """Makes the arrays."""
        self._own = own
        self.arrays = arrays
        if own:
            self.arrays = [each if each is None else each.copy() for each in arrays]
        self.obs: Any = None

    def copy(self, arrays: Sequence[Any]) -> None:
        """Takes over what a slot holds, if its arrays are its own."""
        if self._own:
            for own, leaf in zip(self.arrays, arrays, strict=True):
                if own is not None:
                    own[...] = leaf

    def refresh(self, obs: Any) -> None:
        """Takes over an observation of its arrays and of new leaves without a fixed size."""
        if isinstance(self.obs, dict):
            self.obs.update(obs)
        else:
            self.obs = obs
