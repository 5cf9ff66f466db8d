# SPDX-License-Identifier: MIT
"""Pools of EnvPool's interface."""

import pytest

import envring.adapters.envpool as envpool


@pytest.fixture
def pool(request):
    """The pool that `support.pools.with_pool` asks for."""
    args, kwargs = request.param
    made = envpool.make(*args, **kwargs)
    yield made
    made.close()
