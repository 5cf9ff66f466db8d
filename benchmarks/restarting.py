# SPDX-License-Identifier: MIT
"""What being ready for deaths costs a step: `python benchmarks/restarting.py [ROW ...]`.

By turns, as in collecting.py. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import envring
from collecting import Null, Row, cartpole, main, rate, stepping
from envring.bench.workloads.synthetic import ImageEnv

WAYS: dict[str, dict[str, Any]] = {
    "raise": {},
    "raise, once more": {},  # what a ratio of the same is
    "restart": {"on_worker_death": "restart"},
    "restart_every": {"restart_every": {"steps": 10**12}},
}


def ways(make: Callable[[], Any]) -> dict[str, Callable[[], float]]:
    """64 envs in two workers, each way."""
    actions = np.ones(64, np.int64)
    found: dict[str, Callable[[], float]] = {}
    for name, given in WAYS.items():
        envs = envring.RingVectorEnv([make] * 64, num_workers=2, **given)
        found[name] = partial(rate, stepping(envs, actions))
    return found


ROWS: dict[str, Row] = {
    "cartpole": partial(ways, cartpole),
    "null": partial(ways, partial(Null, 0)),
    "image": partial(ways, ImageEnv),
}

if __name__ == "__main__":
    sys.exit(main(ROWS, __doc__))
