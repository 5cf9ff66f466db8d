# SPDX-License-Identifier: MIT
"""Compression of long frames, where the link is slower than it.

Each end measures how fast long bodies come in, as the one who waits for them: buffers and tunnels
between the ends do not mislead it. It tells the other end, who compresses if that saves time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from envring.errors import WireError

_SHORTEST = 1 << 14  # bytes of a body that is worth it
_FAST = 200e6  # bytes per second of a link that is not worth it
_SAMPLES = 8  # bodies in a row that are slow on a slow link
_UNPACKING = 0.5  # seconds that unpacking takes, by those of packing
_GAIN = 0.9  # of the time of plain bodies that packed ones may take
_AGAIN = 64  # bodies until the link and the packing are measured anew


_ZSTD = "zstd"


def features() -> list[str]:
    """What this end offers in HELLO and WELCOME: "zstd", if zstandard is installed."""
    try:
        import zstandard  # noqa: F401
    except ImportError:
        return []
    return [_ZSTD]


def offered(theirs: Any) -> frozenset[str]:
    """The names in what the other end calls its features: it may have sent anything."""
    given = theirs if isinstance(theirs, list) else []
    return frozenset(each for each in given if type(each) is str)


def agreed(theirs: Any) -> Packing | None:
    """What becomes of long frames if the other end offers these features."""
    return Packing() if _ZSTD in offered(theirs).intersection(features()) else None


class Packing:
    """How one connection packs what it sends, and unpacks what it gets.

    Attributes:
        rate: bytes per second at which long bodies come in; 0 if that is fast, or not known.
        peer_rate: the same, of the peer.
    """

    def __init__(self) -> None:
        """Begins without packing."""
        import zstandard

        self.rate = self.peer_rate = 0
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._rates: deque[float] = deque(maxlen=_SAMPLES)
        self._pays = False
        self._turn = 0

    @property
    def is_slow(self) -> bool:
        """Whether either direction is, so that frames may have to be packed."""
        return bool(self.peer_rate or self.rate)

    def came(self, count: int, seconds: float) -> bool:
        """Notes that so many bytes came in that time, during which nothing else was done.

        Returns:
            Whether the connection is slow.
        """
        if count >= _SHORTEST:
            self._rates.append(count / max(seconds, 1e-9))
            # the highest: a pause of this process is not the link's
            rate = max(self._rates) if len(self._rates) == _SAMPLES else _FAST
            self.rate = max(1024, int(rate)) if rate < _FAST else 0
        return self.is_slow

    def is_of_interest(self, length: int) -> bool:
        """Whether the next bodies of that length are to be measured."""
        return length >= _SHORTEST and len(self._rates) < _SAMPLES

    @staticmethod
    def slow_ns(length: int) -> int:
        """Nanoseconds in which a body of that length comes on a slow link; 0 for short bodies."""
        return int(length / _FAST * 1e9) if length >= _SHORTEST else 0

    def pack(self, body: Sequence[Any], length: int) -> bytes | None:
        """A body of that length to send, packed; None if it is to be sent as it is."""
        if not self.peer_rate or length < _SHORTEST:
            return None
        self._turn = (self._turn + 1) % _AGAIN
        if self._turn == 0 or not (self._pays or self._turn == 1):
            return None
        began = time.perf_counter()
        packed = self._compressor.compress(b"".join(body))
        seconds = (1 + _UNPACKING) * (time.perf_counter() - began)
        self._pays = seconds + len(packed) / self.peer_rate < _GAIN * length / self.peer_rate
        return packed if self._pays else None

    @staticmethod
    def unpack(packed: bytes, limit: int) -> bytes:
        """The body of a packed frame.

        Raises:
            WireError: it is malformed, does not say its length, or is longer than the limit.
        """
        import zstandard

        try:
            length = zstandard.frame_content_size(packed)
            if not 0 <= length <= limit:
                raise WireError(f"a packed frame holds {length} bytes; {limit} are allowed")
            body: bytes = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise WireError(f"a packed frame cannot be unpacked: {error}") from None
        return body
