# SPDX-License-Identifier: MIT
"""RingVectorEnv beside SyncVectorEnv, through random calls on random environments.

``ENVRING_STATEFUL=20`` runs twenty rounds of new random examples instead of one round of fixed
ones; a failure is made small then, so give pytest ``-o faulthandler_timeout=0``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize, run_state_machine_as_test

from envring import RingVectorEnv
from stateful.machine import VectorMachine
from stateful.strategies import FAMILIES, Arrangement, arrangements

ROUNDS = int(os.environ.get("ENVRING_STATEFUL", "1"))


class RingMachine(VectorMachine):
    def make_subject(self, arrangement: Arrangement) -> Any:
        return RingVectorEnv(
            arrangement.env_fns(),
            copy=arrangement.copy,
            autoreset_mode=arrangement.mode,
            num_workers=arrangement.workers,
            step_loop=arrangement.step_loop,
            slots=arrangement.slots,
        )


def machine_of(family: str, workers: list[int]) -> type[RingMachine]:
    class Machine(RingMachine):
        @initialize(arrangement=arrangements(family, workers))
        def start(self, arrangement: Arrangement) -> None:
            self.begin(arrangement)

    return Machine


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("workers", "examples"), [([0], 40), ([2, 1, 3, 4], 24)], ids=["caller", "workers"]
)
def test_equals_sync(workers: list[int], examples: int, family: str, turn: int) -> None:
    run_state_machine_as_test(
        machine_of(family, workers),
        settings=settings(
            max_examples=examples // 2 if family == "big" else examples,
            stateful_step_count=25,
            derandomize=ROUNDS == 1,
            # Making an example small takes minutes: `make stateful` may take them, a test may not.
            phases=[Phase.generate, *([Phase.shrink] if ROUNDS > 1 else [])],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
