# SPDX-License-Identifier: MIT
# How a worker learns of its caller's end, and where its stderr goes.

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *, size_t, int, int, int, int64_t)
    int munmap(void *, size_t)
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED


cdef extern from "er_lifeline.h":
    int er_keep_only(const int *, int)
    int er_lifeline_watch(int, int64_t) nogil
    int er_lifeline_cut()


cdef extern from "er_stderr.h":
    int er_stderr_capture(int, int, int) nogil
    int64_t er_pass_on(int, const void *, int64_t, int64_t) nogil


def keep_only(fds):
    """Gives this thread, not the main one, a descriptor table of its own with these alone.

    False if that is forbidden here; then nothing changes.
    """
    cdef int[8] kept
    for i, fd in enumerate(fds):
        kept[i] = fd
    return bool(er_keep_only(kept, len(fds)))


def watch_lifeline(int fd, double grace):
    """For a thread of its own: ends the process `grace` seconds after the other end was closed."""
    cdef int64_t grace_ns = <int64_t>(grace * 1e9)
    cdef int r
    with nogil:
        r = er_lifeline_watch(fd, grace_ns)
    _raise_errno(r)


def capture_stderr(int source, int target, int kept_in):
    """For a thread of its own: passes bytes on to their end, and keeps the last ones."""
    cdef int r
    with nogil:
        r = er_stderr_capture(source, target, kept_in)
    if r < 0:
        _raise_errno(r)


def pass_on(int fd, const uint8_t[::1] data, double patience):
    """Writes until nobody has taken anything for `patience` seconds: the number of bytes taken."""
    cdef int64_t count = data.shape[0], patience_ns = <int64_t>(patience * 1e9)
    if not count:
        return 0
    with nogil:
        count = er_pass_on(fd, &data[0], count, patience_ns)
    return count


def lifeline_cut():
    """Whether the process at the other end of the lifeline is gone."""
    return bool(er_lifeline_cut())


cdef class SharedBytes:
    """A file's first bytes, mapped; unlike mmap's this keeps no descriptor. See `memoryview`."""

    cdef void *base
    cdef Py_ssize_t nbytes

    def __cinit__(self, int fd, Py_ssize_t nbytes):
        self.base = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if self.base == MAP_FAILED:
            self.base = NULL
            raise OSError(errno, os.strerror(errno))
        self.nbytes = nbytes

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.base, self.nbytes, 0, flags)

    def __dealloc__(self):
        if self.base is not NULL:
            munmap(self.base, self.nbytes)
