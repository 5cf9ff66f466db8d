# SPDX-License-Identifier: MIT
"""The conformance suite on Gymnasium's own classes: it must not ask for what nobody does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from envring.testing import AsyncVectorEnvConformance, VectorEnvConformance

_NO_SHARED_MEMORY = "Gymnasium puts no such space into shared memory"
_STALE = "decoded from shared memory once, when it is made"
# What AsyncVectorEnv of Gymnasium 1.4.0 does not do. A test that passes all the same fails.
KNOWN_FAILING = {
    "observation_space_text": _STALE,
    "observation_space_one_of": _STALE,
    "observation_space_tuple_of_texts": _STALE,
    "observation_space_sequence": _NO_SHARED_MEMORY,
    "observation_space_sequence_stacked": _NO_SHARED_MEMORY,
    "observation_space_graph": _NO_SHARED_MEMORY,
    "observation_space_custom": _NO_SHARED_MEMORY,
    "observation_space_mixed": _NO_SHARED_MEMORY,
    "copies_of_dynamic_observations": _NO_SHARED_MEMORY,
    "copies_of_custom_observations": _NO_SHARED_MEMORY,
    "infos_array_big_endian_nextstep": "pickling makes the byte order native",
    "infos_array_big_endian_samestep": "pickling makes the byte order native",
    "infos_that_do_not_batch": "waits for ever",
    "use_after_an_exception": "a failing environment ends its worker",
    "failing_call": "a failing environment ends its worker",
    "exceptions_keep_their_arguments": "raises type(error)(error)",
    "wrong_number_of_actions_steps_nobody": "sends the first ones",
    "shared_memory_false": "an explicit reset leaves the autoreset pending",
    "results_after_a_timeout": "the late batch is taken for the next result",
    "next_operation_waits_for_the_late_batch": "the late batch is taken for the next result",
}
# A constructor that raises leaves its workers to the garbage collector.
LEAKY = ("different_spaces_are_refused", "changed_space_object")


def _known(name: str, reason: str) -> Callable[..., Any]:
    run = reason != "waits for ever"
    test = getattr(AsyncVectorEnvConformance, name)

    def expected_to_fail(self: AsyncVectorEnvConformance) -> None:
        try:
            test(self)
        except Exception as error:
            text = repr(error)
        else:
            return
        # Without the traceback, which would keep the vector environment alive.
        pytest.fail(text)

    return pytest.mark.xfail(reason=reason, run=run, strict=True)(expected_to_fail)


class TestSyncVectorEnv(VectorEnvConformance):
    vector_class = SyncVectorEnv
    in_process = True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestAsyncVectorEnv(AsyncVectorEnvConformance):
    vector_class = AsyncVectorEnv


for _name, _reason in KNOWN_FAILING.items():
    setattr(TestAsyncVectorEnv, f"test_{_name}", _known(f"test_{_name}", _reason))


def _leaky(name: str) -> Callable[..., Any]:
    test = getattr(AsyncVectorEnvConformance, name)

    def leaves_its_workers(self: AsyncVectorEnvConformance) -> None:
        test(self)

    return pytest.mark.leaves("its constructor raised")(leaves_its_workers)


for _name in LEAKY:
    setattr(TestAsyncVectorEnv, f"test_{_name}", _leaky(f"test_{_name}"))
