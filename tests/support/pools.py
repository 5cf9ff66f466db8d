# SPDX-License-Identifier: MIT
"""What tests of EnvPool's interface share."""

import numpy as np
import pytest


def with_pool(*args, **kwargs):
    """Asks for a pool that is closed when the test ends."""
    return pytest.mark.parametrize("pool", [(args, kwargs)], indirect=True, ids=["pool"])


def same(one, other):
    """Whether two values are the same: types, dtypes and bits."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and np.array_equal(one, other)
