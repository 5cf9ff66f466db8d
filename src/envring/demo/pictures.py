# SPDX-License-Identifier: MIT
"""Frames of many envs as one picture.

A picture is an array of uint8, shaped (height, width, 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

TILE_WIDTH = 96
_GAP = 2
_GROUND = 24


class Thumbnails(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Makes an env's frames small in its worker, so that little of them travels."""

    def render(self) -> Any:
        """A frame, TILE_WIDTH pixels wide or less, as it was in proportion.

        Raises:
            TypeError: if the env gives no picture.
        """
        frame = self.env.render()
        if not (isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3):
            raise TypeError(
                f"render() gave a {type(frame).__name__}, and with render_mode='rgb_array' an "
                "array shaped (height, width, 3) is due"
            )
        height, width, _ = frame.shape
        wide = min(TILE_WIDTH, width)
        step = max(1, width // wide // 3)  # of large frames some pixels are enough for a mean
        return shrink(frame[::step, ::step], max(1, round(height * wide / width)), wide)


def shrink(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Make a picture smaller; each pixel is the mean of those that it stands for."""
    for axis, size in enumerate((height, width)):
        old = picture.shape[axis]
        starts = np.arange(size) * old // size
        sums = np.add.reduceat(picture, starts, axis=axis, dtype=np.float32)
        counts = np.diff(starts, append=old).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        picture = sums / counts
    return np.round(picture).astype(np.uint8)


def grid(frames: Sequence[Any], shape: float = 1.5) -> np.ndarray:
    """Put frames side by side, in rows, first things first.

    Args:
        frames: pictures; those of another size than the first are cut or padded.
        shape: how much wider than high the grid should be, about.
    """
    height, width, _ = frames[0].shape
    count = len(frames)
    columns = max(1, min(count, round(math.sqrt(count * shape * height / width))))
    rows = math.ceil(count / columns)
    columns = math.ceil(count / rows)
    down, right = height + _GAP, width + _GAP
    whole = np.full((rows * down + _GAP, columns * right + _GAP, 3), _GROUND, np.uint8)
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        part = frame[:height, :width]
        top, left = _GAP + row * down, _GAP + column * right
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def half_blocks(picture: np.ndarray, columns: int, lines: int) -> list[list[tuple[int, ...]]]:
    """Colours of characters that show a picture: two pixels each, one above the other.

    Args:
        picture: any picture.
        columns: how many characters a line may have.
        lines: how many lines there may be.

    Returns:
        Lines of characters; each is red, green and blue of its upper half, then of its lower one.
    """
    height, width, _ = picture.shape
    factor = min(1.0, columns / width, 2 * lines / height)
    small = shrink(picture, max(2, int(height * factor) // 2 * 2), max(1, int(width * factor)))
    pairs = np.concatenate((small[0::2], small[1::2]), axis=2)
    return [[tuple(pair) for pair in line] for line in pairs.tolist()]
