# SPDX-License-Identifier: MIT
"""An env that attacks its caller through all the memory that its worker can reach.

Runs in workers of any interpreter from 2.7 on.
"""

from __future__ import absolute_import, division, print_function

import gc
import os
import pickle
import random
import struct
import threading
import time

import numpy as np

# (name, position of its offset in the header), in the order of csrc; the header says where each is
REGIONS = (
    ("workers", 72),
    ("sequences", 80),
    ("ready", 88),
    ("template ids", 96),
    ("final marks", 104),
    ("command rings", 112),
    ("reply rings", 120),
    ("actions", 128),
    ("final", 136),
    ("slots", 144),
    ("infos", 152),
)
HEADER_BYTES = 768
WORKER_BYTES = 896  # a worker's block; its reply ring's tail and head are at 512 and 640
RING_BYTES = 1 << 18


class Trap(object):
    """Unpickling it leaves a file behind."""

    def __reduce__(self):
        return open, (os.environ["TRAP"], "w")


def box():
    import gymnasium

    return gymnasium.spaces.Box(-1e9, 1e9, (4,), np.float32)


class Attacker(object):
    """Counts its steps; from step `when` on it attacks, as `seed` says."""

    metadata = {}
    render_mode = None

    def __init__(self, seed=0, when=2, kinds=None):
        import gymnasium

        self.observation_space = box()
        self.action_space = gymnasium.spaces.Discrete(5)
        self.random = random.Random(seed)
        self.when = when
        self.kinds = kinds
        self.count = 0

    def reset(self, seed=None, options=None):
        self.count = 0
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.count += 1
        if self.count >= self.when:
            kind = self.random.choice(self.kinds or sorted(KINDS))
            KINDS[kind](self)
        return np.full(4, self.count, np.float32), 1.0, False, False, {"count": self.count}

    def close(self):
        pass

    def memory(self):
        """The whole segment, as bytes that can be written."""
        from envring_worker.process.segment import Segment

        for each in gc.get_objects():
            if isinstance(each, Segment):
                return each._bytes
        raise AssertionError("there is no segment to attack")

    def garbage(self, size):
        how = self.random.randrange(5)
        if how == 0:
            return b"\0" * size
        if how == 1:
            return b"\xff" * size
        if how == 2:
            trap = pickle.dumps(Trap(), 2)
            return (trap * (size // len(trap) + 1))[:size]
        if how == 3:
            word = struct.pack("<Q", self.random.getrandbits(self.random.choice((3, 16, 40, 64))))
            return (word * (size // 8 + 1))[:size]
        return bytes(bytearray(self.random.getrandbits(8) for _ in range(min(size, 4096)))) * (
            size // 4096 + 1
        )

    def write(self, memory, start, end):
        size = max(end - start, 0)
        if self.random.random() < 0.5 and size > 64:  # a part of it
            start += self.random.randrange(size - 32)
            size = min(32, end - start)
        memory[start : start + size] = np.frombuffer(self.garbage(size)[:size], np.uint8)


def regions(memory):
    header = memory[:HEADER_BYTES].tobytes()
    starts = [struct.unpack_from("<Q", header, at)[0] for _, at in REGIONS]
    ends = starts[1:] + [min(len(memory), starts[-1] + (1 << 16))]
    return list(zip((name for name, _ in REGIONS), starts, ends))


def overwrite_regions(env):
    memory = env.memory()
    found = regions(memory)
    for _, start, end in env.random.sample(found, env.random.randrange(1, 4)):
        env.write(memory, start, end)


def overwrite_header(env):
    memory = env.memory()
    env.write(memory, 0, HEADER_BYTES)


def forge_replies(env):
    """A pickle in every reply ring, announced in every worker's report, for a while."""
    memory = env.memory()
    found = {name: (start, end) for name, start, end in regions(memory)}
    trap = np.frombuffer(pickle.dumps(Trap(), 2), np.uint8)
    rings, workers = found["reply rings"][0], found["workers"]
    count = (workers[1] - workers[0]) // WORKER_BYTES
    until = time.time() + 0.05
    while time.time() < until:
        for worker in range(count):
            block = memory[workers[0] + worker * WORKER_BYTES :][:WORKER_BYTES]
            tail, head = block[512:520].view(np.uint64), block[640:648].view(np.uint64)
            position = int(head[0]) % RING_BYTES
            if position + len(trap) > RING_BYTES:
                continue
            ring = memory[rings + worker * RING_BYTES :][:RING_BYTES]
            ring[position : position + len(trap)] = trap
            tail[0] = int(head[0]) + len(trap)
            report = struct.pack("<QII", len(trap), 1, 1)
            block[: len(report)] = np.frombuffer(report, np.uint8)


def ring_without_end(env):
    memory = env.memory()
    bell = memory[384:388].view(np.uint32)

    def ring():
        while True:
            bell[0] += 2

    thread = threading.Thread(target=ring)
    thread.daemon = True
    thread.start()


def shrink(env):
    """Every file in memory that this process or its caller holds."""
    for pid in ("self", str(os.getppid())):
        folder = "/proc/%s/fd" % pid
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            try:
                if "memfd:envring" in os.readlink(path):
                    fd = os.open(path, os.O_RDWR)
                    try:
                        os.ftruncate(fd, 0)
                    finally:
                        os.close(fd)
            except (OSError, IOError):
                continue


def spoil_stderr(env):
    """Nonsense where the end of stderr is kept."""
    folder = "/proc/self/fd"
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        try:
            if "memfd:envring-stderr" in os.readlink(path):
                fd = os.open(path, os.O_RDWR)
                os.pwrite(fd, env.garbage(1 << 14)[: 1 << 14], 0)
                os.close(fd)
        except (OSError, IOError):
            continue


KINDS = {
    "regions": overwrite_regions,
    "header": overwrite_header,
    "replies": forge_replies,
    "rings": ring_without_end,
    "shrink": shrink,
    "stderr": spoil_stderr,
}
