# SPDX-License-Identifier: MIT
# A worker's end of a segment. Part of _core.pyx.


cdef class WorkerPort:
    """A worker's end of a segment."""

    cdef Segment segment
    cdef er_port_t port

    def __init__(self, Segment segment, uint32_t worker, uint32_t first_env, uint32_t num_envs,
                 double spin, bint adaptive, uint32_t yield_every):
        self.segment = segment
        cdef int r = er_port_open(&self.port, segment.base, worker, first_env, num_envs, spin,
                                  adaptive, yield_every)
        if r < 0:
            _raise_errno(r)

    def next(self, double timeout):
        """The next command (op, seq, slot, action), or None after `timeout` seconds or sooner."""
        cdef int64_t timeout_ns = <int64_t>(timeout * 1e9)
        cdef int r
        with nogil:
            r = er_port_next(&self.port, timeout_ns)
        return self.taken(r)

    cdef taken(self, int r):
        """What `next` returns, from what C returned. Handlers of signals run, and may raise."""
        cdef er_command_t *command = &self.port.command
        if r >= 0:
            return command.op, command.seq, command.slot, command.action
        if r == -EINTR:
            PyErr_CheckSignals()
        elif r != -ETIMEDOUT:
            _raise_errno(r)
        return None

    def env(self):
        """The env that is next of a command for some, counted from the slice's first, or -1."""
        return er_port_env(&self.port)

    def take_span(self):
        """(first env, number of envs) of the command taken last, which somebody else carries out;
        no envs unless it is for some."""
        cdef uint32_t first = self.port.at, count = self.port.until - first
        self.port.at = self.port.until
        return first, count

    def finish_env(self, uint32_t seq, uint32_t i):
        """Publishes one env of the slice, which has no reply here."""
        er_worker_finish_some(&self.port.end, seq, i, 1)

    def env_steps(self):
        """How many steps the worker's statistics count."""
        return er_port_env_steps(&self.port)

    def count_batch(self, int64_t busy_ns, uint64_t env_steps):
        """Adds a batch to the worker's statistics."""
        er_port_count(&self.port, busy_ns, env_steps)

    def hint(self, uint32_t hints):
        """Raises hints in the next report, and only there."""
        er_port_hint(&self.port, hints)

    def finish(self, uint32_t seq, bytes reply=None):
        """Publishes the batch, or the env that `env` names; a reply goes through the ring.

        Returns False if the caller went away while the ring was full.
        """
        cdef const char *at = NULL if reply is None else PyBytes_AS_STRING(reply)
        cdef uint64_t size = 0 if reply is None else len(reply)
        cdef int r
        with nogil:
            r = er_port_finish(&self.port, seq, at, size)
        if r < 0:
            _raise_errno(r)
        return r == 1
