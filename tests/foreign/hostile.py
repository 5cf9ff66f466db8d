# SPDX-License-Identifier: MIT
"""A worker that lies: `python hostile.py CASE worker.py` is the worker, with one thing bad."""

import os
import pickle
import runpy
import sys

CASE, WORKER = sys.argv[1], sys.argv[2]
sys.path.insert(0, os.path.dirname(WORKER))


class Trap:
    """Unpickling it leaves a file behind."""

    def __reduce__(self):
        return open, (os.environ["TRAP"], "w")


def twist(is_it, change):
    """Changes what is about to be packed where it is that; bytes go out as they are."""
    from envring_worker.data import codec

    pack = codec.pack

    def changed(value):
        if is_it(value):
            value = change(value)
        return value if isinstance(value, bytes) else pack(value)

    codec.pack = changed


def twist_message(name, change):
    twist(lambda value: isinstance(value, tuple) and value[:1] == (name,), change)


def twist_replies(change):
    twist(lambda value: isinstance(value, dict) and "failures" in value, change)


def describing(**changes):
    twist_message("ready", lambda message: ("ready", dict(message[1], **changes)))


def replying(**changes):
    twist_replies(lambda reply: dict(reply, **changes))


def shouting(*frames):
    """Says nothing but this, and waits."""
    out = os.dup(1)
    for frame in frames:
        os.write(out, frame)
    while os.read(0, 1 << 16):
        pass
    sys.exit()


def numbers():
    """They cannot be compared as one."""
    import numpy as np

    return np.zeros(2)


MAGIC = b"\0envring-worker 1\n"


def packed(value):
    from envring_worker.data import codec

    return codec.pack(value)


def framed(data):
    return len(data).to_bytes(8, "little") + data


CASES = {
    "honest": lambda: None,
    "says nothing": lambda: shouting(),
    "talks without end": lambda: shouting(b"hello? " * 300000),
    "hello is a pickle": lambda: shouting(MAGIC, framed(pickle.dumps(("hello", Trap())))),
    "hello is a number": lambda: shouting(MAGIC, framed(b"i\1\0\0\0")),
    "hello never ends": lambda: shouting(MAGIC, (1 << 20).to_bytes(8, "little"), b"x"),
    "hello is endless": lambda: shouting(MAGIC, (1 << 62).to_bytes(8, "little"), b"x"),
    "hello begins with numbers": lambda: shouting(MAGIC, framed(packed((numbers(), {})))),
    "ready begins with numbers": lambda: twist_message("ready", lambda m: (numbers(), *m[1:])),
    "attached is numbers": lambda: twist_message("attached", lambda _: (numbers(),)),
    "a failure of numbers": lambda: twist_message("ready", lambda _: ("failed", *[numbers()] * 4)),
    "ready is a pickle": lambda: twist_message("ready", lambda _: pickle.dumps(("ready", Trap()))),
    "ready is nothing": lambda: twist_message("ready", lambda _: ("ready", None)),
    "ready comes twice": lambda: twist_message("attached", lambda _: ("ready", {})),
    "no spaces": lambda: describing(observation_spaces=([], [])),
    "spaces that are not there": lambda: describing(
        observation_spaces=([("discrete", 2, 0, "<i8")], [1, 0])
    ),
    "a space of another kind": lambda: describing(observation_spaces=([("eval", "1")], [0, 0])),
    "a space as large as the sea": lambda: describing(
        observation_spaces=([("multi_binary", (1 << 40, 1 << 40))], [0, 0])
    ),
    "spaces that are a number": lambda: describing(action_spaces=5),
    "fewer envs than it was given": lambda: describing(
        observation_spaces=([("discrete", 2, 0, "<i8")], [0])
    ),
    "a space of less than nothing": lambda: describing(
        action_spaces=([("discrete", -5, 0, "<i8")], [0, 0])
    ),
    "a failure as a pickle": lambda: replying(
        failures=[(0, "exception", pickle.dumps(Trap()), "x", "y")]
    ),
    "a failure without words": lambda: replying(failures=[(0, "exception", None, 5, None)]),
    "results that are too many": lambda: replying(results=[1, 2, 3]),
    "an info of another's env": lambda: replying(odd={7: {}}),
    "an info that is none": lambda: replying(odd={0: 5}),
    "a leaf that is no number": lambda: replying(dynamic={"x": {0: 1}}),
    "a leaf that is not there": lambda: replying(dynamic={-1: {0: 1}}),
    "finals that are no bytes": lambda: replying(finals={0: 1}),
    "finals that are no value": lambda: replying(finals={0: b"garbage"}),
    "objects that are no list": lambda: replying(objects={0: 1}),
    "a reply without parts": lambda: twist_replies(lambda _: {}),
    "a reply that is a pickle": lambda: twist_replies(lambda _: pickle.dumps(Trap())),
}

if __name__ == "__main__":
    CASES[CASE]()
    sys.path.remove(os.path.dirname(WORKER))
    sys.argv[:] = [WORKER]
    runpy.run_path(WORKER, run_name="__main__")
