# SPDX-License-Identifier: MIT
"""Output of a command that must go on whether somebody reads it or not."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque

_MOST = 1000  # lines that wait for a reader
_LAST_SECONDS = 1.0  # for a reader to take what is left at the end


class Lines:
    """Writes to a descriptor in a thread of its own. Lines are dropped while nobody reads them.

    Not through `sys.stderr`: at the end of the interpreter nobody may hold its lock.
    """

    def __init__(self, fd: int) -> None:
        """Begins with nothing to write. `fd` stays open."""
        self._fd = fd
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="envring-lines", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """Has a line written, unless too many wait: those are counted, and their number written."""
        with self._changed:
            if len(self._waiting) >= _MOST:
                self._dropped += 1
                return
            self._waiting.append(text)
            self._changed.notify()

    def close(self, seconds: float = _LAST_SECONDS) -> None:
        """Ends when all is written; waits for that so long at most."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closed:
                        return
                    self._changed.wait()
                text, dropped = self._waiting.popleft(), self._dropped
                self._dropped = 0
            if dropped:
                text = f"{text}\n{dropped} lines were dropped: nobody read them"
            self._write(f"{text}\n".encode("utf-8", "backslashreplace"))

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            pass  # it was closed: there is nobody to tell


class LinesHandler(logging.Handler):
    """Gives what is logged to `Lines`."""

    def __init__(self, lines: Lines) -> None:
        """Takes where to write to."""
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Formats a record and has it written."""
        try:
            self._lines.put(self.format(record))
        except Exception:
            self.handleError(record)
