# SPDX-License-Identifier: MIT
# How the caller learns at once that a worker ended. Part of _core.pyx.


cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd


cdef extern from "er_watch.h" nogil:
    ctypedef struct er_watch_t:
        pass
    void er_watch_open(er_watch_t *, er_bell_t *, pollfd *, uint32_t)
    int er_watch_start(er_watch_t *)
    void er_watch_stop(er_watch_t *)
    void er_watch_forget(er_watch_t *)
    int er_watch_noticed(er_watch_t *)


cdef class DeathWatch:
    """Rings the caller's bell when one of these processes ends.

    Args:
        segment: the segment with the bell.
        pidfds: of the processes; they must stay open until `stop`.
    """

    cdef object __weakref__
    cdef Segment segment  # its memory must stay
    cdef er_watch_t watch
    cdef pollfd *fds
    cdef int pid

    def __cinit__(self, Segment segment not None, pidfds):
        cdef uint32_t count = len(pidfds)
        self.segment = segment
        self.pid = os.getpid()
        self.fds = <pollfd *>calloc(count + 1, sizeof(pollfd))
        if not self.fds:
            raise MemoryError()
        for i, fd in enumerate(pidfds):
            self.fds[i].fd = fd
        er_watch_open(&self.watch, &segment.base.caller_bell, self.fds, count)

    def __dealloc__(self):
        if self.pid == os.getpid():
            er_watch_stop(&self.watch)
        else:
            er_watch_forget(&self.watch)
        free(self.fds)

    def start(self):
        """Starts, unless it runs; whether it runs."""
        return er_watch_start(&self.watch) == 0

    def stop(self):
        """Stops, until it is started again."""
        with nogil:
            er_watch_stop(&self.watch)

    cpdef bint noticed(self) noexcept:
        """Whether one of them has ended."""
        return er_watch_noticed(&self.watch) != 0
