# SPDX-License-Identifier: MIT
"""libenvring.so in an interpreter that it was not built for, by ctypes.

`Library` loads it, `NativePort` is a worker's end of a segment; `loop.py` has the compiled step
loop. What waits does without the interpreter's lock, what touches objects holds it.
"""

from __future__ import absolute_import, division, print_function

import errno
import os

__all__ = ["Library", "NativePort", "NativeUnavailable"]


class NativeUnavailable(Exception):
    """The library, or a part of it, cannot be used here; the text says why."""


class Library(object):
    """The library.

    Args:
        path: its path.

    Attributes:
        abi: the version of segments that it knows.
        unlocked: its functions, to be called without the interpreter's lock.

    Raises:
        NativeUnavailable: it does not load, or is not of this version.
    """

    def __init__(self, path):
        try:
            import ctypes

            from . import structs
        except ImportError as error:
            raise NativeUnavailable("ctypes cannot be imported: %s" % error)
        self.path = path
        self.ctypes = ctypes
        self.structs = structs
        self._python = None
        try:
            self.unlocked = ctypes.CDLL(path)
            self._declare()
            if structs.known() != structs.known_of(self.unlocked):
                raise NativeUnavailable("%s was built from other sources than this package" % path)
        except OSError as error:
            raise NativeUnavailable("%s does not load: %s" % (path, error))
        except AttributeError as error:
            raise NativeUnavailable("%s is of another version: %s" % (path, error))
        self.abi = self.unlocked.er_segment_abi()

    def _declare(self):
        c, library = self.ctypes, self.unlocked
        pointer, i32, i64, u32, u64 = c.c_void_p, c.c_int, c.c_int64, c.c_uint32, c.c_uint64
        for name, result, arguments in (
            ("er_struct_offsets", i32, [pointer, i32]),
            ("er_segment_abi", u32, []),
            ("er_segment_check", i32, [pointer, u64]),
            ("er_port_bytes", u64, []),
            ("er_port_command", pointer, [pointer]),
            ("er_port_open", i32, [pointer, pointer, u32, u32, u32, c.c_double, i32, u32]),
            ("er_port_next", i32, [pointer, i64]),
            ("er_port_env", i32, [pointer]),
            ("er_port_env_steps", u64, [pointer]),
            ("er_port_count", None, [pointer, i64, u64]),
            ("er_port_hint", None, [pointer, u32]),
            ("er_port_finish", i32, [pointer, u32, pointer, u64]),
            ("er_port_count_for", None, [pointer, pointer]),
            ("er_port_count_step", None, [pointer, pointer]),
            ("er_steploop_begin", None, [pointer, u32]),
            ("er_steploop_find_actions", i32, [pointer, u32]),
            ("er_keep_only", i32, [pointer, i32]),
            ("er_lifeline_cut", i32, []),
            ("er_lifeline_guard", i32, [i32, i64]),
            ("er_lifeline_watch", i32, [i32, i64]),
            ("er_stderr_capture", i32, [i32, i32, i32]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

    def python(self):
        """This interpreter as the step loop's table, and the library that holds its lock.

        Raises:
            NativeUnavailable: the step loop cannot run here.
        """
        if self._python is None:
            try:
                locked = self.ctypes.PyDLL(self.path)
                from .cpython import Python, UnknownPython
            except (AttributeError, ImportError, OSError) as error:
                raise NativeUnavailable("the compiled step loop needs CPython: %s" % error)
            try:
                self._python = Python(locked.er_python_bind), locked
            except UnknownPython as error:
                raise NativeUnavailable("the compiled step loop cannot run here: %s" % error)
        return self._python

    def check_segment(self, address, nbytes):
        """Raises ValueError if there is no segment there that this library can use."""
        r = self.unlocked.er_segment_check(address, nbytes)
        if r < 0:
            raise ValueError(
                "not a segment that %s can use (%s): the library has ABI %d"
                % (self.path, os.strerror(-r), self.abi)
            )

    def keep_only(self, fds):
        """Gives this thread, not the main one, a descriptor table of its own with these alone.

        Returns False if that is forbidden here; then nothing changes.
        """
        kept = (self.ctypes.c_int * len(fds))(*fds)
        return bool(self.unlocked.er_keep_only(kept, len(fds)))

    def watch_lifeline(self, fd, grace):
        """For a thread of its own: sleeps until the other end of a descriptor is closed.

        The process ends `grace` seconds later, even if something holds the interpreter's lock.
        """
        r = self.unlocked.er_lifeline_watch(fd, int(grace * 1e9))
        raise OSError(-r, os.strerror(-r))

    def guard_lifeline(self, fd, grace):
        """Has another process wake this one, if it is stopped, when that other end is closed.

        Without such a process, where the kernel refuses it, a stopped worker stays.
        """
        self.unlocked.er_lifeline_guard(fd, int(grace * 1e9))

    def capture_stderr(self, source, target, kept_in):
        """For a thread of its own: passes bytes on to their end, and keeps the last ones."""
        r = self.unlocked.er_stderr_capture(source, target, kept_in)
        if r < 0:
            raise OSError(-r, os.strerror(-r))

    def lifeline_cut(self):
        """Whether the process at the other end of the lifeline is gone."""
        return bool(self.unlocked.er_lifeline_cut())


class NativePort(object):
    """A worker's end of a segment.

    Args:
        library: the Library.
        segment: what is mapped: `address`, and `nbytes` from there on.
        worker: the worker's number.
        first_env, num_envs: its slice.
        spin: seconds to spin before sleeping.
        adaptive: whether to spare spins that are not worth it.
        yield_every: pauses between two yields.

    Attributes:
        at: address of the er_port_t.
        command: the command taken last.

    Raises:
        ValueError: there is no segment of this version.
        OSError: it has no such worker or envs.
    """

    def __init__(
        self, library, segment, worker, first_env, num_envs, spin, adaptive, yield_every
    ):
        library.check_segment(segment.address, segment.nbytes)
        ctypes, functions = library.ctypes, library.unlocked
        self.library = library
        self._segment = segment  # keeps it mapped
        self._memory = ctypes.create_string_buffer(functions.er_port_bytes())
        self._functions = functions
        self._next = functions.er_port_next
        self.at = ctypes.addressof(self._memory)
        r = functions.er_port_open(
            self.at, segment.address, worker, first_env, num_envs, spin, adaptive, yield_every
        )
        if r < 0:
            raise OSError(-r, os.strerror(-r))
        self.command = library.structs.Command.from_address(functions.er_port_command(self.at))

    def next(self, timeout):
        """The next command (op, seq, slot, action), or None after `timeout` seconds or sooner."""
        return self.taken(self._next(self.at, int(timeout * 1e9)))

    def taken(self, r):
        """What `next` returns, from what the library returned."""
        if r >= 0:
            command = self.command
            return command.op, command.seq, command.slot, command.action
        if r in (-errno.ETIMEDOUT, -errno.EINTR):
            return None
        raise OSError(-r, os.strerror(-r))

    def env(self):
        """The env that is next of a command for some, counted from the slice's first, or -1."""
        return self._functions.er_port_env(self.at)

    def env_steps(self):
        """How many steps the worker's statistics count."""
        return self._functions.er_port_env_steps(self.at)

    def count_batch(self, busy_ns, env_steps):
        """Adds a batch to the worker's statistics."""
        self._functions.er_port_count(self.at, busy_ns, env_steps)

    def hint(self, hints):
        """Raises hints in the next report, and only there."""
        self._functions.er_port_hint(self.at, hints)

    def finish(self, seq, reply=None):
        """Publishes the batch, or the env that `env` names; a reply goes through the ring.

        Returns False if the caller went away while the ring was full.
        """
        size = 0 if reply is None else len(reply)
        r = self._functions.er_port_finish(self.at, seq, reply, size)
        if r < 0:
            raise OSError(-r, os.strerror(-r))
        return r == 1
