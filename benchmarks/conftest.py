# SPDX-License-Identifier: MIT
"""The two vector environments that the micro-benchmarks compare."""

import gymnasium
import pytest

import envring

VECTOR_ENVS = {
    "envring": envring.RingVectorEnv,
    "async": gymnasium.vector.AsyncVectorEnv,
}


@pytest.fixture(params=VECTOR_ENVS)
def build(request):
    """The class under measurement; give it a list of functions that build envs."""
    return VECTOR_ENVS[request.param]
