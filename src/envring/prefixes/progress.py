# SPDX-License-Identifier: MIT
"""What a build prints on stderr while it runs."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

_REDRAW = 0.2  # seconds between two updates of a terminal's line
_REPEAT = 10.0  # seconds between two lines without a terminal
_TAIL_BYTES = 8192
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f\x7f]")


def tail(path: Path, lines: int = 20, start: int = 0) -> str:
    """Returns the last lines of a log, without terminal codes.

    Args:
        path: the log.
        lines: how many at most.
        start: byte offset in the file from which lines count.
    """
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _TAIL_BYTES))
            data = file.read(_TAIL_BYTES)
    except OSError:
        return ""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    cleaned = (_CONTROL.sub("", line).rstrip() for line in text.split("\n"))
    return "\n".join([line for line in cleaned if line][-lines:])


class Progress:
    """One build's messages: one line that changes on a terminal, else a line now and then."""

    def __init__(self, name: str, stream: TextIO | None = None, quiet: bool = False) -> None:
        """Starts the clock.

        Args:
            name: what is built, shown at the beginning of each line.
            stream: where to write, None for stderr.
            quiet: print nothing.
        """
        self._name = name
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet or self._stream is None
        self._terminal = not self._quiet and self._stream.isatty()
        self._begun = self._step_begun = self._shown = time.monotonic()
        self._step = ""
        self._drawn = False

    def step(self, text: str) -> None:
        """Prints that another part of the work begins."""
        self._step = text
        self._step_begun = self._shown = time.monotonic()
        self._print(text)

    def tick(self, detail: str = "") -> None:
        """Shows that the work goes on; may be called often, prints rarely."""
        now = time.monotonic()
        if self._quiet or now - self._shown < (_REDRAW if self._terminal else _REPEAT):
            return
        self._shown = now
        text = f"{self._step} ({now - self._step_begun:.0f} s)" + (f": {detail}" if detail else "")
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{self._prefixed(text)[:width]}")
            self._drawn = True
        else:
            self._print(text)

    def end(self, text: str) -> None:
        """Prints how the build ended, and after how long."""
        self._print(f"{text} after {time.monotonic() - self._begun:.1f} s")

    def clear(self) -> None:
        """Removes the changing line."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _prefixed(self, text: str) -> str:
        return f"envring: {self._name}: {text}"

    def _print(self, text: str) -> None:
        self.clear()
        self._write(self._prefixed(text) + "\n")

    def _write(self, text: str) -> None:
        if self._quiet:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._quiet = True  # the reader is gone: not a reason to stop building
