# SPDX-License-Identifier: MIT
"""What a foreign interpreter runs: `python worker.py`, with the caller on stdin and stdout.

It moves the channel to other descriptors than 0 and 1, which envs may use, announces the worker,
and leaves the rest to the package beside it. Every Python must be able to run it, if only to report
that it is too old. Children that an env spawns with multiprocessing import it too, so importing it
must have no effect.
"""

import fcntl
import marshal
import os
import signal
import struct
import sys

MAGIC = "\0envring-worker 1\n".encode("ascii")


def move_channel():
    """Moves descriptors 0 and 1 to new ones and returns these; 0 becomes /dev/null, 1 stderr."""
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
    """Sends the caller the reason why the worker cannot start, without using the package."""

    def plain(message):
        return message.decode("utf-8", "replace") if isinstance(message, bytes) else message

    data = marshal.dumps((plain("failed"), -1, plain(kind), plain(text), plain(trace)), 2)
    write(fd, struct.pack("<Q", len(data)) + data)
    return 1


def load():
    """Imports the package's main function, and leaves this directory out of sys.path."""
    here = os.path.dirname(os.path.realpath(__file__))
    # Python added this directory; its modules must not shadow the env's own.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller handles Ctrl-C
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
        return 1  # the caller is gone
    return run(incoming, outgoing)


if __name__ == "__main__":
    sys.exit(main())
