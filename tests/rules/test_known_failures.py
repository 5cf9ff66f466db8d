# SPDX-License-Identifier: MIT
"""Only the failure that is expected makes an expected failure."""

import pytest

from support.known_failures import Known, KnownFailure, mark_known_failures


def failing(error):
    class Suite:
        def test_it(self):
            if error is not None:
                raise error

    mark_known_failures(Suite, {"it": Known("why", ValueError, "b.om")})
    return Suite()


def test_the_expected_one():
    suite = failing(ValueError("boom"))
    (mark,) = suite.test_it.pytestmark
    assert mark.kwargs["raises"] is KnownFailure and mark.kwargs["strict"]
    with pytest.raises(KnownFailure):
        suite.test_it()


@pytest.mark.parametrize("error", [ValueError("bang"), KeyError("boom"), UnicodeError("boom")])
def test_another_one(error):
    with pytest.raises(pytest.fail.Exception, match="expected ValueError with 'b.om', got"):
        failing(error).test_it()


def test_none():
    failing(None).test_it()  # strict: a test that passes all the same fails
