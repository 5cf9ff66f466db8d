# SPDX-License-Identifier: MIT
"""A worker in another interpreter, from its first message to its end.

Worker and caller alternate: hello, start, ready, attach, attached; then commands. `failed` may come
instead of ready or attached. This module does not need numpy, which may be missing: its own
messages are plain data, which marshal writes exactly as the codec does.
"""

from __future__ import absolute_import, division, print_function

import fcntl
import marshal
import os
import signal
import struct
import sys

from .. import collector
from ..errors import Failed
from ..text import as_path, as_text, headline, stack
from . import stderr
from .bytecode import no_bytecode
from .hangup import watch_caller
from .stream import Stream, StreamClosed


def main(incoming, outgoing):
    """Runs the worker; returns the process's exit code.

    Args:
        incoming: descriptor to read the caller's frames from.
        outgoing: descriptor to write frames to.
    """
    collector.arm()
    stream = Stream(incoming, outgoing)
    try:
        _send(stream, u"hello", facts())
        frame = stream.receive()
        try:
            _serve(stream, frame)
        except Failed as failure:
            _send(stream, u"failed", *failure.args)
            return 1
    except StreamClosed:
        pass  # the caller is gone; the envs are closed already
    return 0


def facts():
    """Returns what the caller needs to know about this interpreter."""
    return {
        u"version": u"%d.%d.%d" % tuple(sys.version_info[:3]),
        u"implementation": _implementation(),
        u"python2": sys.version_info[0] == 2,
        u"machine": as_text(os.uname()[4]),
        u"bits": struct.calcsize("P") * 8,
        u"pid": os.getpid(),
        u"executable": as_text(sys.executable or ""),
        u"prefix": as_text(sys.prefix),
    }


def _implementation():
    name = u"pypy" if hasattr(sys, "pypy_version_info") else u"cpython"
    return as_text(getattr(getattr(sys, "implementation", None), "name", name))


def _send(stream, *message):
    stream.send(marshal.dumps(message, 2))


def _serve(stream, frame):
    # Numbers, paths and flags do not need the codec.
    config = marshal.loads(frame)[1]
    try:
        try:
            with no_bytecode():
                library, why_not = _load_library(config["library"])
        except Exception:
            _import_numpy()  # a broken one is the better reason
            raise
        lifeline, caller = config["lifeline_fd"], config["caller"]
        gone = watch_caller(lifeline, stream.incoming, caller, config["grace"], library)
        _prepare_process(config, library)
        _import_numpy()
        with no_bytecode():
            from . import service
        work = service.Service(stream, frame, library, gone)
    except Failed:
        raise
    except Exception:
        kind, error, trace = sys.exc_info()
        text = u"the worker could not be set up: %s" % headline(kind, error)
        raise Failed(-1, u"worker", text, stack(kind, error, trace))
    work.run(why_not)


def _prepare_process(config, library):
    """Gives the process the signals, streams and descriptors that an env may expect."""
    _close_on_exec()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is not None:
        mask(signal.SIG_SETMASK, [])  # novm: unblock what the caller's thread blocked
    pipes = config["stderr"]
    if pipes is not None:
        stderr.capture(library, pipes["read"], pipes["tail"], pipes["pass_on"])
    stderr.open_streams()
    _enable_faulthandler()
    if config["cpu"] is not None:
        _run_on(config["cpu"])


def _close_on_exec():
    """Prevents programs that an env starts from inheriting the caller's descriptors."""
    try:
        fds = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return
    for fd in fds:
        if fd > 2:
            try:
                flags = fcntl.fcntl(fd, fcntl.F_GETFD)
                fcntl.fcntl(fd, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
            except (OSError, IOError):
                continue  # listdir's own descriptor, closed by now


def _enable_faulthandler():
    try:
        import faulthandler  # novm

        faulthandler.enable(file=sys.stderr, all_threads=False)
    except (ImportError, RuntimeError, ValueError):
        pass  # Python 2 has none


def _run_on(cpu):
    """Pins the process to one CPU, if this interpreter can."""
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, [cpu])  # novm
        else:  # Python 2, PyPy
            import ctypes

            mask = struct.pack("<Q", 1 << cpu % 64).rjust(8 * (cpu // 64 + 1), b"\0")
            ctypes.CDLL(None).sched_setaffinity(0, ctypes.c_size_t(len(mask)), mask)
    except (AttributeError, ImportError, OSError):
        pass  # this container does not have the CPU: costs only speed


def _load_library(path):
    """Returns (library, "") or (None, why it cannot be loaded)."""
    from ..native.library import Library, NativeUnavailable

    if path is None:
        return None, u"the caller has no library"
    try:
        return Library(as_path(path)), u""
    except NativeUnavailable as error:
        return None, as_text(error)


def _import_numpy():
    try:
        import numpy  # noqa: F401
    except Exception:
        kind, error, trace = sys.exc_info()
        text = (
            u"%s (Python %s) cannot import NumPy: %s\nWorkers need NumPy: install it there; if the "
            u"prefix is made from a spec, add numpy to the spec."
        )
        where = (as_text(sys.executable or "?"), facts()[u"version"])
        text %= where + (headline(kind, error),)
        raise Failed(-1, u"numpy", text, stack(kind, error, trace))
