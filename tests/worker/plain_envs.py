# SPDX-License-Identifier: MIT
"""Envs that do to their process what envs do; for every interpreter, with NumPy."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np

ACCENTED = b"gr\xc3\xb6\xc3\x9fe".decode("utf-8")


class Box(object):
    def __init__(self, shape):
        self.low = np.full(shape, -1000.0, np.float32)
        self.high = np.full(shape, 1000.0, np.float32)
        self.shape = shape
        self.dtype = np.dtype(np.float32)


class Discrete(object):
    def __init__(self, n):
        self.n = n


class Text(object):
    min_length, max_length, character_set = 0, 9, frozenset("ab")


class Dict(object):
    def __init__(self, spaces):
        self.spaces = spaces


class Foo(object):
    def __repr__(self):
        return "<a Foo>"


class Counting(object):
    """Observations are (steps, episodes); the reward is the action."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7, "odd": Foo()}
    render_mode = None

    def __init__(self, length=5, info=None, five=True, **attributes):
        self.observation_space = Box((2,))
        self.action_space = Discrete(100)
        self.length = length
        self.info = info or {}
        self.five = five
        self.episodes = 0
        self.steps = 0
        self.foo = Foo()
        self.__dict__.update(attributes)

    def _observation(self):
        return np.array([self.steps, self.episodes], np.float32)

    def reset(self, seed=None, options=None):
        self.steps = 0
        self.episodes = self.episodes + 1 if seed is None else seed
        return self._observation(), dict(self.info)

    def step(self, action):
        self.steps += 1
        ended = self.steps >= self.length
        result = (self._observation(), float(action), ended)
        return result + ((False,) if self.five else ()) + (dict(self.info),)

    def close(self):
        sys.stderr.write("closed an env\n")

    def echo(self, *args, **kwargs):
        return args, kwargs

    def size_of(self, text):
        return len(text)

    def many(self, count):
        return b"x" * count

    def give(self, what):
        return {"a": [1, getattr(self, what)]}

    def put(self, info, name, path):
        """Makes this the info, with an attribute of the env at the end of a path."""
        self.info = info
        for key in path[:-1]:
            info = info[key]
        if path:
            info[path[-1]] = getattr(self, name)

    def order(self):
        return list(self.info["a"])

    def crowd(self):
        """Too much for one message, not for one env."""
        row = [0] * 1000
        return [[[row] * 9000]]

    def say(self, lines):
        for line in range(lines):
            sys.stdout.write("line %d\n" % line)
        sys.stdout.flush()

    def memory(self):
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Strange(Counting):
    """What its steps return is other than its space says: `how` it is."""

    def __init__(self, **kwargs):
        Counting.__init__(self, **kwargs)
        if self.how == "inner":
            self.observation_space = Dict({"a": Text()})

    def step(self, action):
        result = Counting.step(self, action)
        obs = result[0]
        if self.how == "subclass":
            obs = np.ma.array(obs)
        elif self.how == "inner":
            obs = {"a": [0, self.foo]}
        return (obs,) + result[1:]


class Printing(Counting):
    """Writes to descriptors 1 and 2 in all the ways there are."""

    def step(self, action):
        print("print")
        sys.stdout.write("write " + ACCENTED + "\n")
        sys.stderr.write("to stderr " + ACCENTED + "\n")
        sys.stdout.flush()
        os.write(1, b"descriptor\n")
        subprocess.check_call(["echo", "a child"])
        ctypes.CDLL(None).puts(b"from C")
        ctypes.CDLL(None).fflush(None)
        self.read = sys.stdin.read()
        return Counting.step(self, action)


class Raising(Counting):
    """Raises in its second step; how, it is told."""

    def step(self, action):
        if self.steps == 1:
            self.steps += 1
            if self.how == "text":
                raise ValueError("no " + ACCENTED)
            if self.how == "bytes":
                raise ValueError(b"\xff\xfe no text")
            if self.how == "nothing":

                class Mute(Exception):
                    def __str__(self):
                        raise RuntimeError("no words")

                raise Mute()
        return Counting.step(self, action)


class Busy(Counting):
    """Its second step takes as long as it takes: `how` it waits."""

    def step(self, action):
        if self.steps == 1:
            with open(self.mark, "w") as mark:
                mark.write(str(os.getpid()))
            if self.how == "sleep":
                time.sleep(60)
            elif self.how == "python":
                until = time.time() + 60
                while time.time() < until:
                    pass
            else:
                # holds the interpreter's lock all the time
                ctypes.PyDLL(None).sleep(60)
        return Counting.step(self, action)

    def close(self):
        if self.how == "close":
            time.sleep(60)


class Dying(Counting):
    def step(self, action):
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        if self.how == "exit":
            os._exit(3)
        if self.how == "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        ctypes.string_at(0)


class Interrupted(Counting):
    """Signals keep arriving: Python 2 leaves interrupted calls to those who made them."""

    def __init__(self, **kwargs):
        Counting.__init__(self, **kwargs)
        signal.signal(signal.SIGALRM, lambda number, frame: None)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)

    def close(self):
        signal.setitimer(signal.ITIMER_REAL, 0)


class Threaded(Counting):
    """Has a thread running that ends with the env."""

    def __init__(self, **kwargs):
        Counting.__init__(self, **kwargs)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.ended.wait)
        self.thread.start()

    def close(self):
        self.ended.set()


class Surroundings(Counting):
    """Tells what an env finds in its process."""

    def look(self):
        child = subprocess.Popen(["ls", "/proc/self/fd"], stdout=subprocess.PIPE, close_fds=False)
        fds = child.communicate()[0].split()
        with open("/proc/self/status") as file:
            status = file.read()
        return {
            "path": [str(path) for path in sys.path],
            "argv": list(sys.argv),
            "children's fds": sorted(map(int, fds)),
            "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            "sigterm": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
            "writes bytecode": not sys.dont_write_bytecode,
            "stdin": os.readlink("/proc/self/fd/0"),
            "encoding": str(sys.stdout.encoding or ""),
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "cpus": re.search(r"Cpus_allowed_list:\s*(\S+)", status).group(1),
        }

    def spawn(self):
        """A child by multiprocessing, which imports the main module again."""
        import multiprocessing

        context = multiprocessing
        if hasattr(multiprocessing, "get_context"):
            context = multiprocessing.get_context("spawn")
        child = context.Process(target=os.getpid)
        child.start()
        child.join(30)
        return child.exitcode


def refuse(how="error"):
    """A source that makes no env."""
    if how == "exit":
        sys.exit("I would rather not")
    raise ValueError("no licence for " + ("this" if how == "error" else how))


def nothing():
    return None


class NoSpace(Counting):
    def __init__(self, **kwargs):
        Counting.__init__(self, **kwargs)
        self.observation_space = Foo()
