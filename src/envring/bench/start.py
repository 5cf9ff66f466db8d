# SPDX-License-Identifier: MIT
"""What each benchmark program does first: check its packages and handle signals."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import sys
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def require_extra(*packages: str) -> None:
    """Exit with advice if one of `packages`, which the extra `bench` installs, is missing.

    Raises:
        SystemExit: if one of them is missing.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"the benchmark needs {' and '.join(missing)}: pip install 'envring[bench]'")


@contextlib.contextmanager
def leaving_on_signals() -> Iterator[None]:
    """Make Ctrl-C and SIGTERM unwind the stack quietly, so that no peer's process is left.

    Raises:
        SystemExit: inside the block, with 128 plus the signal's number.
    """
    before = {
        each: signal.signal(each, lambda number, frame: sys.exit(128 + number)) for each in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
