# SPDX-License-Identifier: MIT
"""WebSocket frames that come alone and in one piece, as those of a caller that waits for answers.

They are most of all frames, and reading one so takes a third of what `websockets` needs for it.
"""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

_TEXT, _CLOSE, _PONG = 0x81, 0x88, 0x8A  # a first byte: FIN, no extension, the opcode
_MASKED = 0x80
_SHORT, _LONG = 126, 1 << 16  # lengths from which on 2 and 8 more bytes say them


def payload(data: bytes) -> bytes | None:
    """What a frame holds that is exactly these bytes; None if they are anything else.

    Frames of 64 KiB and more are something else here.
    """
    size = len(data)
    if size < 6 or not data[1] & _MASKED:
        return None
    length, start = data[1] & 0x7F, 2
    if length == _SHORT:
        length, start = int.from_bytes(data[2:4], "big"), 4
    elif length > _SHORT:
        return None
    if size != start + 4 + length:
        return None
    return apply_mask(data[start + 4 :], data[start : start + 4])


def is_text(data: bytes) -> bool:
    """Whether bytes begin with a frame that is a whole message of text."""
    return data[0] == _TEXT


def is_control(data: bytes) -> bool:
    """Whether bytes begin with a ping, a pong or a close frame."""
    return _CLOSE <= data[0] <= _PONG


def text_frame(text: bytes) -> bytes:
    """The frame of a message of text, as a server sends it."""
    size = len(text)
    if size < _SHORT:
        return bytes((_TEXT, size)) + text
    if size < _LONG:
        return bytes((_TEXT, _SHORT)) + size.to_bytes(2, "big") + text
    return bytes((_TEXT, _SHORT + 1)) + size.to_bytes(8, "big") + text
