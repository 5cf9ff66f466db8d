# SPDX-License-Identifier: MIT
"""What a caller sends: one request after the other, and a CLOSE that comes meanwhile."""

from __future__ import annotations

import time

from envring.transport import frames
from envring.transport.frames import Frame, Link


class CallerCloses(Exception):
    """A CLOSE has come while something else was under way.

    Attributes:
        frame: it.
    """

    def __init__(self, frame: Frame) -> None:
        """Keeps the CLOSE."""
        super().__init__("it closed the session")
        self.frame = frame


class Inbox:
    """Frames of one caller, in the order in which they came."""

    def __init__(self, link: Link) -> None:
        """Begins with none."""
        self._link = link
        self._ahead: Frame | None = None  # came while another one was answered

    @property
    def has_frame(self) -> bool:
        """Whether a frame was read that nobody has taken."""
        return self._ahead is not None

    def has_more(self) -> bool:
        """Whether something has come that nobody has taken."""
        return self.has_frame or self._link.has_more()

    def take(self, until: float) -> Frame:
        """The next frame.

        Raises:
            LinkClosed: the caller is gone.
            TimeoutError: not all of it came before time.monotonic() was `until`.
            WireError: these are not the bytes of a frame.
        """
        frame, self._ahead = self._ahead, None
        return self._link.receive(until) if frame is None else frame

    def poll(self) -> Frame | None:
        """A frame that has come, or None; raises as `take`."""
        try:
            return self.take(time.monotonic())
        except TimeoutError:
            return None

    def look(self) -> None:
        """Looks for the end, while a request is under way.

        Raises:
            CallerCloses: a CLOSE has come.
            LinkClosed: the caller is gone.
            WireError: something came that is no frame.
        """
        # no more than one is kept, which may be long; who hangs up wants nothing else
        while not self.has_frame or self._link.has_hung_up():
            frame = self.take(0.0) if self.has_frame else self.poll()
            if frame is None:
                return
            if frame.head.kind == frames.CLOSE:
                raise CallerCloses(frame)
            if not self._link.has_hung_up():
                self._ahead = frame
