# SPDX-License-Identifier: MIT
# Batches over our wire, where nothing is out of the ordinary. Part of _core.pyx.
#
# transport/frames.py is the reference for the bytes; docs/wire.md describes them.

DEF HEAD = 24  # bytes of a frame's head
DEF PREFIX = 28  # of the head of a STEP and its code


cdef class FrameParts:
    """Buffers that are the body of a frame, with room for its head before them.

    Args:
        buffers: contiguous writable buffers of bytes.
    """

    cdef iovec *parts
    cdef iovec *sent  # a copy, which sending uses up
    cdef int count
    cdef uint64_t body
    cdef unsigned char prefix[PREFIX]
    cdef Py_buffer *held
    cdef int num_held

    def __cinit__(self, buffers):
        cdef int i
        self.count = len(buffers) + 1
        self.parts = <iovec *>calloc(self.count, sizeof(iovec))
        self.sent = <iovec *>calloc(self.count, sizeof(iovec))
        self.held = <Py_buffer *>calloc(self.count, sizeof(Py_buffer))
        if not (self.parts and self.sent and self.held):
            raise MemoryError()
        self.parts[0].iov_base = &self.prefix[0]
        for i, buffer in enumerate(buffers, 1):
            PyObject_GetBuffer(buffer, &self.held[self.num_held], PyBUF_WRITABLE)
            self.parts[i].iov_base = self.held[self.num_held].buf
            self.parts[i].iov_len = self.held[self.num_held].len
            self.body += self.parts[i].iov_len
            self.num_held += 1

    def __dealloc__(self):
        for i in range(self.num_held):
            PyBuffer_Release(&self.held[i])
        free(self.held)
        free(self.parts)
        free(self.sent)

    cdef void begin(self, uint32_t prefix, uint32_t kind, uint32_t flags, uint64_t number):
        """Writes the head of a frame whose body begins with `prefix - HEAD` bytes of its own."""
        cdef uint64_t *words = <uint64_t *>&self.prefix[0]
        words[0] = self.body + prefix - HEAD
        words[1] = kind | flags << 8
        words[2] = number
        self.parts[0].iov_len = prefix

    cdef void set_code(self, uint32_t code):
        memcpy(&self.prefix[HEAD], &code, 4)

    cdef int send(self, int fd, int64_t deadline) nogil:
        memcpy(self.sent, self.parts, self.count * sizeof(iovec))
        return er_link_send(fd, self.sent, self.count, deadline)

    cdef bytes gathered(self, uint64_t count):
        """The first bytes, head included, as they came."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, count)
        cdef char *to = PyBytes_AS_STRING(out)
        cdef uint64_t size
        for i in range(self.count):
            size = min(self.parts[i].iov_len, count)
            memcpy(to, self.parts[i].iov_base, size)
            to += size
            count -= size
        return out


cdef class RemotePath:
    """The short way through a step whose envs are on a host; as StepPath.

    Args:
        fd: the connection.
        sleep_ns: how long a receive of it sleeps, 0 if it does not block.
        kinds: numbers of STEP and RESULT frames, and the flag of a RESULT that has only arrays.
        actions: the rows of the action slab that the host needs.
        rows: returns the buffers that a slot's rows are received into.
        slots, reader, slab, leases: as in StepPath; None for envs that are a part of a batch, which
            have `send` and `wait` alone.
        ints: the same; None also where such a list has not as many bytes as the actions.
    """

    cdef int fd
    cdef uint32_t step, result, arrays
    cdef FrameParts actions, nothing, receiving
    cdef dict row_parts
    cdef object rows
    cdef SlotPool slots
    cdef BatchReader reader
    cdef ActionSlab slab
    cdef IntSlab ints
    cdef bint leases, blocked
    cdef object came
    cdef int64_t sleep_ns, slow_ns
    cdef uint64_t got
    cdef readonly bint pending, complete, torn
    cdef readonly uint32_t slot
    cdef readonly int64_t sent_ns
    cdef public uint64_t number
    cdef public bint paused  # whether `start` refers to the long way

    def __init__(self, int fd, int64_t sleep_ns, kinds, FrameParts actions not None, rows,
                 SlotPool slots, BatchReader reader, ActionSlab slab, IntSlab ints, bint leases):
        self.fd = fd
        self.sleep_ns = sleep_ns
        self.step, self.result, self.arrays = kinds
        self.actions = actions
        self.nothing = FrameParts(())
        self.rows = rows
        self.row_parts = {}
        self.slots = slots
        self.reader = reader
        self.slab = slab
        self.ints = ints
        self.leases = leases

    def block(self):
        """Has `start` refer to the long way from now on."""
        self.blocked = True

    def watch(self, int64_t slow_ns, came):
        """Tells of bodies that are slow: `paused` becomes what `came(bytes, seconds)` returns."""
        self.slow_ns = slow_ns
        self.came = came

    def start(self, actions):
        """Starts a step and returns its slot, or -1 for the long way."""
        cdef uint32_t code = ER_ACTIONS_SLAB
        cdef uint32_t slot = self.slots.copied
        if self.paused or self.blocked or self.pending or self.complete:
            return -1
        if type(actions) is list and self.ints is not None and self.ints.put(actions):
            code = ER_ACTIONS_INTS
        elif self.slab is None or not self.slab.put(actions):
            return -1
        if self.leases:
            slot = self.slots.take()
        if self._send(self.actions, code, slot):
            return slot
        self.slots.give_back(slot)
        return -1

    def send(self, uint32_t slot, uint32_t code):
        """Starts a step with actions that are in the slab, or a plain reset.

        Returns False for the long way.
        """
        if self.paused or self.blocked or self.pending or self.complete:
            return False
        if code == ER_ACTIONS_RESET:
            return self._send(self.nothing, code, slot)
        return code == ER_ACTIONS_SLAB and self._send(self.actions, code, slot)

    cdef bint _send(self, FrameParts frame, uint32_t code, uint32_t slot):
        cdef int r
        self.slot = slot
        self.receiving = self.row_parts.get(slot)
        if self.receiving is None:
            self.receiving = self.row_parts[slot] = FrameParts(self.rows(slot))
        self.number += 1
        self.got = 0
        frame.begin(PREFIX, self.step, 0, self.number)
        frame.set_code(code)
        self.pending = True
        self.sent_ns = er_park_now()
        with nogil:
            r = frame.send(self.fd, self.sent_ns + SEND_NS)
        if r < 0:  # the long way says why
            self.pending = False
            self.blocked = self.torn = True
        return r >= 0

    def wait(self, int64_t deadline=0):
        """Waits for the answer, some 50 ms from the time it was asked for.

        Args:
            deadline: of `time.monotonic_ns`; 0 for none.

        Returns 0 when it is there, 1 when time was up before, 2 for the long way.
        """
        cdef FrameParts rows = self.receiving
        cdef uint64_t *head = <uint64_t *>&rows.prefix[0]
        cdef int64_t patience = self.sent_ns + SLICE_NS
        cdef int64_t until = min(patience, deadline) if deadline else patience
        cdef int64_t began = 0
        cdef uint64_t enough = HEAD
        cdef uint64_t late = 0
        cdef int r
        if not self.pending:
            return 0 if self.complete else 2
        rows.parts[0].iov_len = HEAD
        while True:
            with nogil:
                r = er_link_receive(self.fd, rows.parts, rows.count, &self.got, enough, until,
                                    self.sleep_ns)
            if r == -EINTR:
                PyErr_CheckSignals()
                return 2
            if r < 0:  # unless time is up, the long way finds out what it is
                return 1 if r == -ETIMEDOUT and until < patience else 2
            if enough > HEAD or self.got == HEAD + rows.body:
                break
            if (head[0] != rows.body or head[1] != (self.result | self.arrays << 8)
                    or head[2] != self.number):
                return 2
            enough = HEAD + rows.body
            if self.slow_ns:
                began, late = er_park_now(), enough - self.got
        if (head[0] != rows.body or head[1] != (self.result | self.arrays << 8)
                or head[2] != self.number):
            return 2
        self.pending = False
        self.complete = True
        if began and er_park_now() - began > self.slow_ns:
            self.paused = self.came(late, (er_park_now() - began) * 1e-9)
        return 0

    def taken(self):
        """Bytes that came and belong to the long way, which goes on with them."""
        found = self.receiving.gathered(self.got) if self.pending else b""
        self.pending = self.complete = False
        return found

    def take(self, uint32_t slot):
        """(rewards, terminations, truncations) of a complete batch, or None for the long way."""
        if not self.complete:
            return None
        self.complete = False
        return self.reader.outcomes(slot)

    def take_first(self, uint32_t slot):
        """(reward, terminated, truncated) of env 0 of a complete batch, or None as `take`."""
        if not self.complete:
            return None
        self.complete = False
        return self.reader.first_outcomes(slot)


cdef class HostPath:
    """The short way of a host through its callers' steps.

    Args:
        port: the port of the session's workers.
        fd, sleep_ns, kinds: as in RemotePath.
        actions: the action slab's rows.
        rows: the rows of slot 0.
        ints: whether lists of ints have as many bytes as batches of the space's dtype.
        bounds: of the histogram of latencies, seconds.
        near: whether the caller is on this machine, where this thread had better follow it.

    Attributes:
        batches: steps and resets so far.
        resets: how many of them were resets.
        number: of the one that was read last.
        resetting: whether that was a reset.
        early: whether something came before that was answered.
    """

    cdef CallerPort port
    cdef int fd
    cdef uint32_t step, result, arrays
    cdef FrameParts actions, rows
    cdef bint ints, near
    cdef er_pace_t pace
    cdef uint64_t got
    cdef int64_t *bounds
    cdef uint64_t *counts
    cdef int buckets
    cdef int64_t sleep_ns, spent_ns
    cdef readonly uint64_t batches, resets, number
    cdef readonly bint resetting, early

    def __cinit__(self, CallerPort port not None, int fd, int64_t sleep_ns, kinds,
                  FrameParts actions not None, FrameParts rows not None, bint ints, bounds,
                  bint near):
        self.port = port
        self.fd = fd
        self.sleep_ns = sleep_ns
        self.step, self.result, self.arrays = kinds
        self.actions = actions
        self.rows = rows
        self.ints = ints
        self.near = near
        self.buckets = len(bounds)
        self.bounds = <int64_t *>calloc(self.buckets + 1, sizeof(int64_t))
        self.counts = <uint64_t *>calloc(self.buckets + 1, sizeof(uint64_t))
        if not (self.bounds and self.counts):
            raise MemoryError()
        for i, bound in enumerate(bounds):
            self.bounds[i] = <int64_t>(bound * 1e9)

    def __dealloc__(self):
        free(self.bounds)
        free(self.counts)

    def serve(self, double seconds):
        """Answers steps, and plain resets, for some seconds.

        Returns 0 when the time was up, 1 if something else has come or the connection ended (see
        `taken`), 2 if a step or reset was started that is not complete or has more than arrays.
        """
        cdef int64_t span = <int64_t>(seconds * 1e9)
        cdef int64_t now = er_park_now()
        cdef int64_t end = now + span
        cdef int64_t began, until
        cdef uint64_t *head = <uint64_t *>&self.actions.prefix[0]
        cdef uint32_t code
        cdef uint64_t whole = PREFIX + self.actions.body
        cdef uint64_t size
        cdef int r, b
        self.actions.parts[0].iov_len = PREFIX
        while True:
            until = now + span
            with nogil:
                r = er_link_receive(self.fd, self.actions.parts, self.actions.count, &self.got,
                                    HEAD, until, self.sleep_ns)
                size = HEAD + head[0]
                if r == 0 and head[1] == self.step and (size == whole or size == PREFIX):
                    r = er_link_receive(self.fd, self.actions.parts, self.actions.count,
                                        &self.got, size, until, self.sleep_ns)
                elif r == 0:
                    r = 1
            if r == -ETIMEDOUT:
                return 0
            if r == -EINTR:
                PyErr_CheckSignals()
                continue
            memcpy(&code, &self.actions.prefix[HEAD], 4)
            self.resetting = code == ER_ACTIONS_RESET and size == PREFIX
            if r or not self.resetting and (
                    size != whole
                    or code != ER_ACTIONS_SLAB and not (self.ints and code == ER_ACTIONS_INTS)):
                return 1
            self.got = 0
            self.number = head[2]
            self.batches += 1
            self.resets += self.resetting
            began = er_park_now()
            self.port.uncollected = True
            self.port.start_step(0, code)
            self.early = self._has_more()  # while the workers are at work
            if self.port.wait(began + SLICE_NS) != 0 or self.port.attention():
                return 2
            self.port.uncollected = False
            now = er_park_now()
            self.spent_ns += now - began
            b = 0
            while b < self.buckets and now - began > self.bounds[b]:
                b += 1
            self.counts[b] += 1
            if now - began > LOOK_NS:
                self.early = self._has_more()
            self.rows.begin(HEAD, self.result, self.arrays, self.number)
            with nogil:
                r = self.rows.send(self.fd, now + SEND_NS)
            if r < 0 or self.early:
                return 1
            if self.near:
                er_follow(&self.pace, self.fd)
            if began > end:
                return 0

    cdef bint _has_more(self):
        cdef char byte
        return recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0

    def taken(self):
        """Bytes that came and belong to the long way, which goes on with them."""
        cdef uint64_t got = self.got
        self.got = 0
        self.actions.parts[0].iov_len = PREFIX
        return self.actions.gathered(got)

    def take_latencies(self):
        """(seconds, counts by bucket) since the last call."""
        found = [self.counts[b] for b in range(self.buckets + 1)]
        seconds = self.spent_ns * 1e-9
        self.spent_ns = 0
        for b in range(self.buckets + 1):
            self.counts[b] = 0
        return seconds, found


cdef class Following:
    """Has a thread that answers a peer on this machine go to the CPU that the peer sends from.

    Args:
        fd: the socket's descriptor.
    """

    cdef int fd
    cdef er_pace_t pace

    def __cinit__(self, int fd):
        self.fd = fd

    def look(self):
        """To be called after each answer, by the thread; moves it now and then."""
        er_follow(&self.pace, self.fd)
