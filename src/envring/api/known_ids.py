# SPDX-License-Identifier: MIT
"""Gymnasium's ids for workers that are not forked and so have not run what registered them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import gymnasium

from envring.transport.pickling import dumps_by_value

_EVERYWHERE = "gymnasium."  # the module whose ids every worker has


class KnownIds:
    """Pickles as the ids that this process has registered by then, and registers them there."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Leaves out what cannot be pickled: whoever makes it gets Gymnasium's error."""
        plain: list[Any] = []
        others: list[Any] = []
        for spec in gymnasium.registry.values():
            if isinstance(spec.entry_point, str):
                if not spec.entry_point.startswith(_EVERYWHERE):
                    plain.append(spec)
            else:
                (plain if spec.namespace == "envring" else others).append(spec)
        try:
            pickles = [pickle.dumps(plain, protocol=5)]
        except Exception:
            pickles, others = [], [*plain, *others]
        for spec in others:
            try:
                pickles.append(dumps_by_value([spec])[0])
            except Exception:
                continue
        return _register, (pickles,)


def _register(pickles: Sequence[bytes]) -> None:
    for data in pickles:
        try:
            specs = pickle.loads(data)
        except Exception:
            continue  # its module is missing here
        for spec in specs:
            gymnasium.registry.setdefault(spec.id, spec)
