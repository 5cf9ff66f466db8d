# SPDX-License-Identifier: MIT
"""RingVectorEnv beside SyncVectorEnv, through random calls on random environments.

``ENVRING_SOAK=20`` runs twenty rounds of new random examples instead of one round of fixed ones; a
failure is made small then, so give pytest ``-o faulthandler_timeout=0``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from envring import RingVectorEnv
from stateful.machine import VectorMachine
from stateful.strategies import Arrangement, arrangements

ROUNDS = int(os.environ.get("ENVRING_SOAK", "1"))


class RingMachine(VectorMachine):
    step_loop = "compiled"

    def make_subject(self, arrangement: Arrangement) -> Any:
        return RingVectorEnv(
            arrangement.env_fns(),
            copy=arrangement.copy,
            autoreset_mode=arrangement.mode,
            num_workers=arrangement.workers,
            step_loop=self.step_loop,
            **arrangement.options,
        )


class InWorkers(RingMachine):
    @initialize(arrangement=arrangements(st.integers(1, 4)))
    def start(self, arrangement: Arrangement) -> None:
        self.begin(arrangement)


class InCaller(RingMachine):
    @initialize(arrangement=arrangements(st.just(0)))
    def start(self, arrangement: Arrangement) -> None:
        self.begin(arrangement)


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("step_loop", ["compiled", "reference"])
@pytest.mark.parametrize(("machine", "examples"), [(InWorkers, 80), (InCaller, 300)])
def test_equals_sync(machine: type[RingMachine], examples: int, step_loop: str, turn: int) -> None:
    chosen = type(machine.__name__, (machine,), {"step_loop": step_loop})
    run_state_machine_as_test(
        chosen,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            derandomize=ROUNDS == 1,
            # Making an example small takes minutes, which a soak may take and a test may not.
            phases=[Phase.generate, *([Phase.shrink] if ROUNDS > 1 else [])],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
