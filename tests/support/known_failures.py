# SPDX-License-Identifier: MIT
"""Tests of a suite that are known to fail, and how: another failure, or none, is a failure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from envring.testing.conformance_base import quiet


class KnownFailure(Exception):
    """The failure that was expected."""


@dataclass(frozen=True)
class Known:
    """How a test fails.

    Attributes:
        reason: why it fails.
        raises: type of what it raises.
        match: regular expression to be found in its message.
        run: False if it would not end.
    """

    reason: str
    raises: type[Exception]
    match: str
    run: bool = True


def mark_known_failures(suite: type, known: dict[str, Known]) -> None:
    """Replaces tests that a class inherits, named without ``test_``."""
    for name, each in known.items():
        setattr(suite, f"test_{name}", _expected_to_fail(getattr(suite, f"test_{name}"), each))


def _expected_to_fail(test: Callable[[Any], None], known: Known) -> Callable[[Any], None]:
    @pytest.mark.xfail(reason=known.reason, raises=KnownFailure, run=known.run, strict=True)
    def expected_to_fail(self: Any) -> None:
        try:
            with quiet():  # or the first warning would be what is raised
                test(self)
        except Exception as error:
            kind, text = type(error), str(error)
        else:
            return
        # Without the traceback, which would keep the vector environment alive.
        if kind is known.raises and re.search(known.match, text):
            raise KnownFailure(text)
        pytest.fail(f"expected {known.raises.__name__} with {known.match!r}, got {kind}: {text}")

    return expected_to_fail
