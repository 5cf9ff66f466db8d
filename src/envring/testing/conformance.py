# SPDX-License-Identifier: MIT
"""A test suite for every vector environment that is meant to behave like Gymnasium's.

Derive from `VectorEnvConformance` or `AsyncVectorEnvConformance` in a test module;
pytest and unittest (with `unittest.TestCase` as second base) collect the tests:

    class TestMine(AsyncVectorEnvConformance):
        vector_class = MyVectorEnv
        vector_kwargs = {"num_workers": 2}
"""

from __future__ import annotations

from typing import Any

from envring.testing.conformance_async import AsyncConformance
from envring.testing.conformance_base import EnvFns
from envring.testing.conformance_contract import ContractConformance
from envring.testing.conformance_copies import CopyConformance
from envring.testing.conformance_errors import ErrorConformance
from envring.testing.conformance_infos import InfoConformance
from envring.testing.conformance_values import ValueConformance

__all__ = ["AsyncVectorEnvConformance", "VectorEnvConformance"]


class VectorEnvConformance(ValueConformance, InfoConformance, CopyConformance, ContractConformance):
    """Tests of what SyncVectorEnv and AsyncVectorEnv have in common.

    Set `vector_class`, and `vector_kwargs` where needed, or override `make_vector`. Tests
    that derive from the class under test are skipped without `vector_class`.

    Attributes:
        vector_class: Class under test, called as `vector_class(env_fns, **kwargs)`.
        vector_kwargs: Keyword arguments for every construction.
        in_process: True if the environments run in the calling process; skips tests that need
            worker processes.
        env_error: Class that replaces exceptions of environments, with the original class and
            message in its text; None if exceptions arrive unchanged.
    """

    def make_vector(self, env_fns: EnvFns, **kwargs: Any) -> Any:
        """Make the vector environment under test.

        Args:
            env_fns: One function per environment.
            **kwargs: `copy`, `observation_mode` or `autoreset_mode`, as SyncVectorEnv takes
                them; for `AsyncVectorEnvConformance` also AsyncVectorEnv's other arguments.

        Returns:
            The vector environment, a `gymnasium.vector.VectorEnv`; the suite closes it.
        """
        return super().make_vector(env_fns, **kwargs)


class AsyncVectorEnvConformance(AsyncConformance, ErrorConformance, VectorEnvConformance):
    """Also tests what only AsyncVectorEnv has: split calls, timeouts, errors, closing.

    Where AsyncVectorEnv's code and its documentation differ, or results depend on
    `shared_memory`, this suite expects what SyncVectorEnv does.
    """
