# SPDX-License-Identifier: MIT
"""What a foreign interpreter runs: `python worker.py`, with the caller at stdin and stdout.

It moves the caller's end out of the env's reach, says that a worker is here, and leaves the rest to
the package beside it. Every Python must understand it, if only to say that it is too old. Children
that an env spawns by multiprocessing import it too, and nothing may happen then.
"""

import fcntl
import marshal
import os
import signal
import struct
import sys

MAGIC = "\0envring-worker 1\n".encode("ascii")


def move_channel():
    """Descriptors for what were 0 and 1, which the env may use for something harmless now."""
    channel = []
    for fd in (0, 1):
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD, 3)
        fcntl.fcntl(moved, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        channel.append(moved)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(nothing, 2)
    os.dup2(2, 1)
    if nothing > 2:
        os.close(nothing)
    return channel


def write(fd, data):
    while data:
        data = data[os.write(fd, data) :]


def fail(fd, kind, text, trace):
    """Says without the package why there will be no worker."""

    def plain(message):
        return message.decode("utf-8", "replace") if isinstance(message, bytes) else message

    data = marshal.dumps((plain("failed"), -1, plain(kind), plain(text), plain(trace)), 2)
    write(fd, struct.pack("<Q", len(data)) + data)
    return 1


def load():
    """The package's entry, imported with no trace of this directory left behind."""
    here = os.path.dirname(os.path.realpath(__file__))
    # Python put it there; what lies here must not shadow the env's own modules.
    sys.path[:] = [path for path in sys.path if not path or os.path.realpath(path) != here]
    writes_no_bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    sys.path.insert(0, here)
    try:
        from envring_worker.process.main import main
    finally:
        sys.path.remove(here)
        sys.dont_write_bytecode = writes_no_bytecode
    return main


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller to hear
    incoming, outgoing = move_channel()
    try:
        write(outgoing, MAGIC)
        version = sys.version_info[:2]
        if version < (2, 7) or (3, 0) <= version < (3, 6):
            text = "%s is Python %d.%d; workers need CPython or PyPy 2.7, or 3.6 and newer"
            return fail(outgoing, "version", text % ((sys.executable,) + version), "")
        try:
            run = load()
        except Exception:
            import traceback

            text = "the worker's own modules cannot be imported: %s" % (sys.exc_info()[1],)
            return fail(outgoing, "worker", text, traceback.format_exc())
    except OSError:
        return 1  # nobody listens
    return run(incoming, outgoing)


if __name__ == "__main__":
    sys.exit(main())
