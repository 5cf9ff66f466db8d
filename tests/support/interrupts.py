# SPDX-License-Identifier: MIT
"""Ctrl-C at a known moment."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import read_pid


@contextlib.contextmanager
def interrupted(gate: Path) -> Iterator[None]:
    """Ctrl-C comes as soon as a gated env waits, which then may go on."""

    def interrupt() -> None:
        read_pid(Path(f"{gate}.waiting"))
        os.kill(os.getpid(), signal.SIGINT)
        gate.touch()

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=interrupt)
    try:
        sender.start()
        with pytest.raises(KeyboardInterrupt):
            yield
        sender.join()
    finally:
        signal.signal(signal.SIGINT, previous)
