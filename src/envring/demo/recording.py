# SPDX-License-Identifier: MIT
"""Pictures as a file that moves; needs Pillow."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = (".gif", ".png", ".webp")


class Recording:
    """Keeps pictures, and writes them when its block ends, however it ends."""

    def __init__(self, path: Path | None, frames_per_second: float) -> None:
        """Nothing is written yet.

        Args:
            path: its suffix, one of FORMATS, says what is written; None: nothing.
            frames_per_second: the speed of what is written.
        """
        self.path = path
        self._milliseconds = max(
            20, round(1000 / frames_per_second)
        )  # viewers slow down faster ones
        self._frames: list[Image] = []

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, picture: np.ndarray) -> None:
        """Take one more picture, of the same size."""
        from PIL import Image

        image = Image.fromarray(picture)
        # 256 colours: what a GIF has anyway, and a third of the memory until it is written
        small = (
            image.quantize(256) if self.path is not None and self.path.suffix == ".gif" else image
        )
        self._frames.append(small)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._frames and self.path is not None:
            first, *others = self._frames
            first.save(
                self.path,
                save_all=True,
                append_images=others,
                duration=self._milliseconds,
                loop=0,
            )
