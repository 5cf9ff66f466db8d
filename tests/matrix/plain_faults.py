# SPDX-License-Identifier: MIT
"""What may go wrong in a worker, and an env that does one such thing once, where a file says so.

`FOLDER/PLACE` holds the name of what is to go wrong there; who finds it takes it away. Runs in
workers of every interpreter from 3.6 on.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np

MIB = 1 << 20
_kept = []  # what is not to be given back


class Strange(BaseException):
    """Is not an Exception."""


def take(folder, place):
    """What is to go wrong here, or None; the next one finds nothing."""
    path = os.path.join(folder, place)
    try:
        os.rename(path, path + ".taken")
    except OSError:
        return None
    with open(path + ".taken") as file:
        return file.read()


def passing(folder, place):
    """Does what is to go wrong here."""
    how = take(folder, place)
    if how is not None:
        commit(how)


def commit(how):
    """Does it."""
    if how.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, how))
        while how != "SIGSTOP":
            signal.pause()
    else:
        HOW[how]()


def leave():
    os._exit(0)


def leave_by_exception():
    sys.exit(7)


def raise_exception():
    raise ValueError("this goes wrong")


def raise_base_exception():
    raise Strange("this goes wrong")


def loop():
    os.nice(19)  # of the processors it takes what the cells beside it leave
    while True:
        pass


def loop_in_c():
    while True:  # a signal's handler may end a sleep
        ctypes.PyDLL(None).sleep(3600)


def want_memory():
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + 64 * MIB, hard))
    bytearray(1024 * MIB)


def want_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    while True:
        _kept.append(os.open(os.devnull, os.O_RDONLY))


def flood(fd):
    left = 2 * MIB
    while left > 0:
        left -= os.write(fd, (b"x" * 63 + b"\n") * 1024)


def flood_stdout():
    flood(1)


def flood_stderr():
    flood(2)


def flood_with_the_lock():
    text = (b"x" * 63 + b"\n") * 2048
    for _ in range(16):
        ctypes.PyDLL(None).write(2, text, len(text))


def close_descriptors():
    os.closerange(3, 4096)


def take_signals():
    for number in range(1, 65):
        try:
            signal.signal(number, lambda *_: None)
        except (OSError, ValueError):
            continue


def block_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def fork():
    """The child has copies of all descriptors, and lives as long as its parent."""
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()
    if os.fork() == 0:
        prctl(1, signal.SIGKILL)
        while os.getppid() == parent:
            time.sleep(0.01)
        os._exit(0)


def start_thread():
    threading.Thread(target=time.sleep, args=(3600,), daemon=False).start()


def start_process():
    """It writes as long as somebody may read."""
    _kept.append(subprocess.Popen(["sh", "-c", "while :; do echo noise >&2; done"]))


def shrink():
    """Of all files in memory that there are here."""
    for name in os.listdir("/proc/self/fd"):
        path = "/proc/self/fd/" + name
        try:
            if not os.readlink(path).startswith("/memfd:"):
                continue
            fd = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            if os.fstat(fd).st_size:
                os.ftruncate(fd, 0)
                os._exit(99)
        except OSError:
            continue
        finally:
            os.close(fd)


HOW = {
    "os._exit(0)": leave,
    "sys.exit": leave_by_exception,
    "exception": raise_exception,
    "BaseException": raise_base_exception,
    "endless loop": loop,
    "loop in C": loop_in_c,
    "memory limit": want_memory,
    "descriptors used up": want_descriptors,
    "stdout flood": flood_stdout,
    "stderr flood": flood_stderr,
    "stderr flood, locked": flood_with_the_lock,
    "closed descriptors": close_descriptors,
    "taken signals": take_signals,
    "blocked signals": block_signals,
    "fork": fork,
    "thread": start_thread,
    "noisy grandchild": start_process,
    "ftruncate": shrink,
}

try:
    from gymnasium import Env
    from gymnasium.spaces import Box, Discrete
except ImportError:  # an interpreter of old: an env is what looks like one
    Env = object

    class Box(object):
        def __init__(self, low, high, shape, dtype):
            self.low, self.high = np.full(shape, low, dtype), np.full(shape, high, dtype)
            self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    class Discrete(object):
        def __init__(self, n):
            self.n = n


class Reward(object):
    """A reward whose conversion, after the step, is a place to go wrong."""

    def __init__(self, env, value):
        self.env, self.value = env, value

    def __float__(self):
        self.env.passing("publish")
        return self.value


class Counting(Env):
    """Observes [index, steps since the reset, action].

    Args:
        index: of this env.
        folder: where the files are.
        places: those at which this env looks for one.
    """

    render_mode = "rgb_array"

    def __init__(self, index=0, folder="", places=()):
        self.observation_space = Box(-1e9, 1e9, (3,), np.float32)
        self.action_space = Discrete(8)
        self.index, self.folder, self.places = index, folder, tuple(places)
        self.passing("constructor")

    def passing(self, place):
        if place in self.places:
            passing(self.folder, place)

    @property
    def metadata(self):
        self.passing("handshake")
        return {"render_modes": ["rgb_array"]}

    def reset(self, seed=None, options=None):
        self.passing("reset")
        self.t = 0
        return np.array([self.index, 0, -1], np.float32), {}

    def step(self, action):
        self.passing("step")
        if "idle" in self.places:
            how = take(self.folder, "idle")
            if how is not None:
                threading.Thread(target=self.idle, args=(how,), daemon=True).start()
        self.t += 1
        observation = np.array([self.index, self.t, int(action)], np.float32)
        reward = self.index + self.t / 8.0
        return observation, Reward(self, reward) if self.places else reward, False, False, {}

    def idle(self, how):
        """Waits until nothing is asked of this env, as the file `go` says; tells of itself."""
        while not os.path.exists(os.path.join(self.folder, "go")):
            time.sleep(0.002)
        self.tell("begun")
        try:
            commit(how)
        except (MemoryError, OSError):
            pass  # of a thread it is nobody's
        finally:
            self.tell("done")

    def tell(self, what):
        os.symlink(".", os.path.join(self.folder, what))  # needs no descriptor

    def render(self):
        self.passing("render")
        return np.full((1, 1, 3), self.index, np.uint8)

    def poke(self):
        self.passing("call")
        return self.index

    def close(self):
        self.passing("close")


def make(index=0, folder="", places=()):
    """Makes one: what a host offers."""
    return Counting(index, folder, places)
