# SPDX-License-Identifier: MIT
"""Mutated messages: the decoder and the slow reader agree on each, and no memory is lost to it.

``make fuzz`` (ENVRING_FUZZ=seconds) goes on with random seeds until the time is up. A run that
crashes leaves the message in the file that it named.
"""

import mmap
import os
import random
import time
import tracemalloc

import numpy as np
import pytest

from envring.errors import CodecError
from envring.transport import codec
from support import codec_reader, plain_codec
from support.plain_codec import differences

SECONDS = float(os.environ.get("ENVRING_FUZZ", "0"))
ROUNDS = 1500  # where no time is given
MOST = 1 << 16  # bytes of a message

TYPES = b"NTFiIlgyustR[({0c<>.\xe9"
LENGTHS = [0, 1, 2, 3, 4, 8, 16, 17, 32, 64, 65, 100, 255, 256, 1 << 15, 1 << 16, 1 << 24, 1 << 30]
LENGTHS += [2**31 - 1, 2**32 - 1, 2**32 - 2, 2**31]
PIECES = [codec.dumps(tag)[1:] for tag in ("\0nd", "\0nf", "\0ns", "\0od", "\0se", "\0fs", "\0tu")]
PIECES += [
    b"<f8",
    b"|b1",
    b"<U2",
    b">U1",
    b"|V3",
    b"<M8[ns]",
    b"|S1",
    b"|O",
    b"V",
    b"A",
    b"U",
    b"S",
]
ITEMS = [b"N", b"T", b"i\1\0\0\0", b"(\0\0\0\0", b"[\0\0\0\0", b"{0", b"u\0\0\0\0", b"s\0\0\0\0"]
ITEMS += [b"l\1\0\0\0\2\0", b"(\1\0\0\0N", b"u\1\0\0\0A", b"s\1\0\0\0a"]
ITEMS += [b"i" + number.to_bytes(4, "little") for number in LENGTHS]
ITEMS += [b"I" + (2**62).to_bytes(8, "little"), b"l\4\0\0\0\1\0\0\0\0\0\1\0"]
# as Python 2 writes equal strings and small things
INTERNED = (
    b"[\6\0\0\0t\1\0\0\0aR\0\0\0\0t\2\0\0\0\xc3\xa9R\1\0\0\0"
    b"(\4\0\0\0u\3\0\0\0\0ndu\3\0\0\0|S1(\0\0\0\0R\0\0\0\0{t\0\0\0\0R\0\0\0\0R\0\0\0\0N0"
)


def corpus():
    values = [value for _, group in plain_codec.all_values() for value in group]
    messages = {codec.dumps(value) for value in values}
    messages.add(codec.dumps(plain_codec.containers()))
    messages.add(
        codec.dumps({"reward": 1.5, "lives": 3, "ok": True, "at": (1, 2), "by": np.ones(2)})
    )
    return [*sorted(m for m in messages if len(m) < 4096), INTERNED]


class Mutator:
    """Makes messages that are nearly right."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.corpus = corpus()

    def message(self):
        data = bytearray(self.random.choice(self.corpus))
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 3, 8))):
            self.mutate(data)
        return bytes(data[:MOST])

    def mutate(self, data):
        at = self.random.randrange(len(data) + 1)
        match self.random.randrange(10):
            case 0:
                data[at : at + 1] = bytes([self.random.randrange(256)])
            case 1:
                data[at : at + 1] = bytes([self.random.choice(TYPES)])
            case 2:
                length = self.random.choice(LENGTHS)
                data[at : at + 4] = length.to_bytes(4, "little")
            case 3:
                del data[at : at + self.random.choice((1, 2, 4, 5, 9, 100))]
            case 4:
                end = at + self.random.choice((1, 4, 5, 9, 30, 200))
                data[at:at] = data[at:end] * self.random.choice((1, 2, 30))
            case 5:
                other = self.random.choice(self.corpus)
                data[at:at] = other
            case 6:
                other = self.random.choice(self.corpus)
                begin = self.random.randrange(len(other))
                data[at:] = other[begin:]
            case 7:
                data[at : at + 3] = self.random.choice(PIECES)
            case 8:
                self.count_up(data, at)

            case 9:
                self.replace(data, at)

    def replace(self, data, at):
        """Makes another item of a text or a number."""
        at = max(data.rfind(b"i", 0, at), data.rfind(b"u", 0, at))
        if at < 0:
            return
        size = 5
        if data[at] == ord("u"):
            size += int.from_bytes(data[at + 1 : at + 5], "little")
        data[at : at + size] = self.random.choice(ITEMS)

    def count_up(self, data, at):
        """Adds an item where there is a container, and corrects its length."""
        at = max(data.rfind(b"(", 0, at), data.rfind(b"[", 0, at))
        if at < 0 or at + 5 > len(data):
            return
        count = int.from_bytes(data[at + 1 : at + 5], "little")
        data[at + 1 : at + 5] = ((count + 1) % 2**32).to_bytes(4, "little")
        data[at + 5 : at + 5] = self.random.choice([*self.corpus[:40], b"N"])


def outcome(read, data, python2, malformed):
    try:
        return True, read(data, python2)
    except malformed:
        return False, None


def check(data, python2):
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    valid, value = outcome(codec.loads, data, python2, CodecError)
    peak = tracemalloc.get_traced_memory()[1] - before
    assert peak < 100_000 + 200 * len(data)
    expected, same = outcome(codec_reader.read, data, python2, codec_reader.Malformed)
    assert valid == expected
    if valid:
        assert differences(value, same) == []
        assert differences(codec.loads(codec.dumps(value)), value) == []


@pytest.fixture
def last(tmp_path):
    """Keeps a message where it is found after a crash."""
    path = tmp_path / "message"
    path.write_bytes(bytes(MOST + 8))
    print(f"the message is in {path}, behind its length")
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as kept:

        def keep(data):
            kept[: 8 + len(data)] = len(data).to_bytes(8, "little") + data

        yield keep


@pytest.mark.parametrize("python2", [False, True])
def test_mutated_messages_are_read_as_they_should_be(python2, last):
    seed = random.SystemRandom().randrange(2**32) if SECONDS else 1
    mutator = Mutator(seed)
    until = time.monotonic() + SECONDS / 2
    rounds = valid = 0
    tracemalloc.start()
    try:
        while rounds < ROUNDS or time.monotonic() < until:
            data = mutator.message()
            last(data)
            try:
                check(data, python2)
            except BaseException:
                print(f"seed {seed}, round {rounds}, python2={python2}: {data!r}")
                raise
            valid += outcome(codec.loads, data, python2, CodecError)[0]
            rounds += 1
    finally:
        tracemalloc.stop()
    print(f"seed {seed}: {rounds} messages, {valid} of them values")
    assert 0.02 < valid / rounds < 0.8  # or the mutations would be too strong, or none
