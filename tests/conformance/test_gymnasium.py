# SPDX-License-Identifier: MIT
"""The conformance suite on Gymnasium's own classes: it must not ask for what nobody does."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from envring.testing import AsyncVectorEnvConformance, VectorEnvConformance
from support.known_failures import Known, mark_known_failures

# What is known of them, below, is known of these releases.
pytestmark = pytest.mark.skipif(
    tuple(map(int, version("gymnasium").split(".")[:2])) < (1, 4),
    reason="this Gymnasium's own vector envs are not those that the suite was compared with",
)

_STALE = Known(
    "decoded from shared memory once, when it is made", AssertionError, r"reset\[0\].* differs"
)
_DYNAMIC = Known(
    "Gymnasium puts no such space into shared memory", TypeError, "static shared memory"
)
_CUSTOM = Known(
    "Gymnasium puts no such space into shared memory", ValueError, "shared_memory=True.* an error"
)
_NATIVE = Known("pickling makes the byte order native", AssertionError, "dtype int32, expected >i4")
_ENDED = Known("a failing environment ends its worker", AttributeError, "'NoneType' .* 'send'")
# What AsyncVectorEnv of Gymnasium 1.4.0 does not do. A test that passes all the same fails.
KNOWN_FAILING = {
    "observation_space_text": _STALE,
    "observation_space_one_of": _STALE,
    "observation_space_tuple_of_texts": _STALE,
    "observation_space_sequence": _DYNAMIC,
    "observation_space_sequence_stacked": _DYNAMIC,
    "observation_space_graph": _DYNAMIC,
    "observation_space_custom": _CUSTOM,
    "observation_space_mixed": _CUSTOM,
    "copies_of_dynamic_observations": _DYNAMIC,
    "copies_of_custom_observations": _CUSTOM,
    "infos_array_big_endian_nextstep": _NATIVE,
    "infos_array_big_endian_samestep": _NATIVE,
    "infos_that_do_not_batch": Known("waits for ever", AssertionError, "not done", run=False),
    "use_after_an_exception": _ENDED,
    "failing_call": _ENDED,
    "exceptions_keep_their_arguments": Known("raises type(error)(error)", AssertionError, "^$"),
    "wrong_number_of_actions_steps_nobody": Known(
        "sends the first ones", AssertionError, "batch differs: 2 of 8 elements"
    ),
    "shared_memory_false": Known(
        "an explicit reset leaves the autoreset pending", AssertionError, "batch differs"
    ),
    "results_after_a_timeout": Known(
        "the late batch is taken for the next result", AssertionError, r"batch\[0\] differs"
    ),
    "next_operation_waits_for_the_late_batch": Known(
        "the late batch is taken for the next result", ValueError, "values to unpack"
    ),
}
# A constructor that raises leaves its workers to the garbage collector.
LEAKY = ("different_spaces_are_refused", "changed_space_object")


class TestSyncVectorEnv(VectorEnvConformance):
    vector_class = SyncVectorEnv
    in_process = True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestAsyncVectorEnv(AsyncVectorEnvConformance):
    vector_class = AsyncVectorEnv


mark_known_failures(TestAsyncVectorEnv, KNOWN_FAILING)


def _leaky(name: str) -> Callable[..., Any]:
    test = getattr(AsyncVectorEnvConformance, name)

    def leaves_its_workers(self: AsyncVectorEnvConformance) -> None:
        test(self)

    return pytest.mark.leaves("its constructor raised")(leaves_its_workers)


for _name in LEAKY:
    setattr(TestAsyncVectorEnv, f"test_{_name}", _leaky(f"test_{_name}"))
