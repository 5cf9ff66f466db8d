# SPDX-License-Identifier: MIT
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The C core as Python objects: ports on a segment, leases on slots, the compiled step loop.

Thin on purpose: the protocol is in csrc, process life is in pool and workers, env semantics are in
envring_worker/loop.py. Nothing here knows gymnasium.
"""

from libc.errno cimport EINTR, ETIMEDOUT, errno
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from cpython.buffer cimport (
    PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_GET_ITEM
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

import os

import numpy as np

cimport numpy as cnp

cnp.import_array()


cdef extern from "numpy/arrayobject.h":
    int PyArray_SetBaseObject(cnp.ndarray array, object base) except -1
    object PyArray_NewFromDescr(
        type subtype, cnp.dtype descr, int nd, const cnp.npy_intp *dims,
        const cnp.npy_intp *strides, void *data, int flags, object obj)
    ctypedef struct PyArrayObject:
        pass


cdef extern from "er_park.h":
    int64_t ER_FOREVER
    int64_t er_park_now() nogil


cdef extern from "er_format.h":
    enum:
        ER_ABI
        ER_LINE
        ER_OP_STEP
        ER_OP_MESSAGE
        ER_OP_EACH
        ER_OP_TOGETHER
        ER_ACTIONS_SLAB
        ER_ACTIONS_RESET
        ER_ACTIONS_INTS
        ER_HINT_MOSTLY_WAITING
    ctypedef struct er_report_t:
        uint64_t reply_bytes
        uint32_t infos
        uint32_t hints
    ctypedef struct er_atomic32_t:
        pass
    ctypedef struct er_atomic64_t:
        pass
    ctypedef struct er_stats_t:
        er_atomic64_t batches, env_steps, busy_ns, wait_ns, spins, parks, slow_rows
        er_atomic64_t env_ns, began_ns, ended_ns
        er_atomic64_t finished_ns[2]
        er_atomic64_t spin_ns
        er_atomic64_t slowest
        er_atomic64_t slowest_ns
    ctypedef struct er_worker_t:
        er_report_t report
        er_stats_t stats
    ctypedef struct er_bell_t:
        pass
    ctypedef struct er_segment_t:
        er_bell_t caller_bell
        uint32_t num_envs, num_workers, num_slots, abi
        uint64_t total_bytes, slot_bytes, info_bytes, action_bytes, final_bytes
        uint64_t off_workers, off_template_ids, off_final_marks
        uint64_t off_actions, off_final, off_slots, off_infos
        er_atomic32_t timed, time_first, time_count
    ctypedef struct er_command_t:
        uint32_t op, seq, slot, action, first, count
    ctypedef struct er_env_reply_t:
        uint32_t env, seq
        uint64_t bytes


cdef extern from "er_atomic.h":
    uint64_t er_load_relaxed(er_atomic64_t *)
    void er_store_relaxed_32 "er_store_relaxed"(er_atomic32_t *, uint32_t)
    uint32_t er_load_relaxed_32 "er_load_relaxed"(er_atomic32_t *)


cdef extern from "er_segment.h":
    ctypedef struct er_config_t:
        uint32_t num_envs, num_workers, num_slots, command_ring_bytes, reply_ring_bytes
        uint64_t action_bytes, final_bytes, slot_bytes, info_bytes
    int64_t er_segment_bytes(const er_config_t *)
    int er_segment_format(void *, uint64_t, const er_config_t *)
    int er_segment_check(const void *, uint64_t)


cdef extern from "er_doorbell.h":
    ctypedef struct er_wait_t:
        uint32_t mean_ns
        uint64_t spins, parks
    void er_wait_open(er_wait_t *, double, int, uint32_t)


cdef extern from "er_ring.h":
    ctypedef struct er_ring_view_t:
        pass
    int64_t er_ring_read(er_ring_view_t *, void *, uint64_t) nogil
    int er_ring_holds_some(er_ring_view_t *)


cdef extern from "er_batch.h":
    ctypedef struct er_caller_t:
        uint32_t seq
        er_wait_t wait
    uint32_t er_caller_collect(er_caller_t *)
    int er_caller_open(er_caller_t *, er_segment_t *, er_ring_view_t *, er_ring_view_t *,
                       uint64_t *)
    uint32_t er_caller_begin(er_caller_t *, uint32_t)
    int er_caller_post(er_caller_t *, uint32_t, const er_command_t *)
    int er_caller_ring(er_caller_t *)
    int er_caller_replace(er_caller_t *, uint32_t, uint32_t, uint32_t)
    void er_caller_excuse(er_caller_t *, uint32_t, uint32_t)
    int er_caller_wait(er_caller_t *, int64_t) nogil
    ctypedef struct er_worker_end_t:
        pass
    int er_worker_finish_some(er_worker_end_t *, uint32_t, uint32_t, uint32_t)


cdef extern from "er_flow.h":
    ctypedef struct er_flow_t:
        uint32_t num_ready, num_busy
    void er_flow_open(er_flow_t *, er_caller_t *, uint32_t *, uint32_t *)
    void er_flow_begin(er_flow_t *)
    uint32_t er_flow_sequence(er_flow_t *)
    int er_flow_replace(er_flow_t *, uint32_t, uint32_t, uint32_t)
    int er_flow_post(er_flow_t *, uint32_t, uint32_t, const er_command_t *)
    uint32_t er_flow_collect(er_flow_t *)
    int er_flow_wait(er_flow_t *, uint32_t, int64_t) nogil
    void er_flow_take(er_flow_t *, uint32_t, uint32_t *)
    uint32_t er_flow_take_marked(er_flow_t *, const uint8_t *, uint32_t *)
    void er_flow_put_back(er_flow_t *, uint32_t, const uint32_t *)


cdef extern from "er_spread.h":
    ctypedef struct er_pace_t:
        pass
    void er_spread_caller(er_segment_t *, uint32_t)
    void er_follow(er_pace_t *, int)


cdef extern from "er_steploop.h":
    enum:
        ER_NEXT_STEP
        ER_SAME_STEP
        ER_DISABLED
    ctypedef struct er_object:
        pass
    ctypedef struct er_steploop_t:
        const void *py
        er_object *actions
        uint32_t at
    int er_steploop_find_actions(er_steploop_t *, uint32_t)
    void er_steploop_begin(er_steploop_t *, uint32_t)
    int er_steploop_run(er_steploop_t *) except -1
    void er_steploop_begin_one(er_steploop_t *, uint32_t, uint32_t, int)
    int er_steploop_run_one(er_steploop_t *) except -1
    void er_steploop_clear(er_steploop_t *)


cdef extern from "er_worker.h":
    enum:
        ER_SERVED_STEP
        ER_SERVED_ACTIONS
    ctypedef struct er_port_t:
        er_worker_end_t end
        er_command_t command
        uint32_t at, until
    int er_port_env(const er_port_t *)
    uint64_t er_port_env_steps(const er_port_t *)
    int er_port_open(er_port_t *, void *, uint32_t, uint32_t, uint32_t, double, int, uint32_t)
    int er_port_next(er_port_t *, int64_t) nogil
    void er_port_count(er_port_t *, int64_t, uint64_t)
    void er_port_hint(er_port_t *, uint32_t)
    int er_port_finish(er_port_t *, uint32_t, const void *, uint64_t) nogil
    void er_port_count_for(er_port_t *, er_steploop_t *)
    void er_port_count_step(er_port_t *, er_steploop_t *)
    int er_port_serve(er_port_t *, er_steploop_t *, int, int, int64_t) except? -1


cdef extern from "er_offsets.h":
    int er_struct_offsets(uint32_t *, int)


cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_PEEK
        MSG_DONTWAIT
    ssize_t recv(int, void *, size_t, int)

cdef extern from "er_link.h" nogil:
    int er_link_send(int, iovec *, int, int64_t)
    int er_link_receive(int, const iovec *, int, uint64_t *, uint64_t, int64_t, int64_t)


COMPLETE, RANG, NOT_YET = range(3)  # what `CallerPort.wait` returns
OP_STEP = ER_OP_STEP
OP_MESSAGE = ER_OP_MESSAGE
OP_EACH, OP_TOGETHER = ER_OP_EACH, ER_OP_TOGETHER
HINT_MOSTLY_WAITING = ER_HINT_MOSTLY_WAITING
NEXT_STEP, SAME_STEP, DISABLED = ER_NEXT_STEP, ER_SAME_STEP, ER_DISABLED
ABI = ER_ABI
ALIGNMENT = ER_LINE


def _raise_errno(int r):
    raise OSError(-r, os.strerror(-r))


def segment_bytes(**config):
    """Size in bytes of a segment of this configuration (fields of er_config_t)."""
    cdef er_config_t c = config
    cdef int64_t r = er_segment_bytes(&c)
    if r < 0:
        raise ValueError(f"no segment can have this configuration: {config}")
    return r


include "_stats.pxi"


cdef class Segment:
    """A mapped segment. Arrays made from it keep the mapping alive, whatever is closed.

    The header is read once: what a worker might write there later is not believed.

    Args:
        buffer: writable buffer over the whole mapping.
        config: fields of er_config_t to format it by, or None to attach to one that is formatted.

    Raises:
        ValueError: not a segment, or one of another version; the text says which.
    """

    cdef object buffer
    cdef object bytes_view
    cdef er_segment_t *base
    cdef readonly uint32_t num_envs, num_workers, num_slots
    cdef readonly uint64_t slot_bytes, info_bytes, total_bytes
    cdef readonly uint64_t off_actions, off_final, off_slots, off_infos
    cdef readonly uint64_t off_template_ids, off_final_marks
    cdef readonly bint timed
    cdef uint64_t off_workers

    def __init__(self, buffer, config=None):
        cdef er_config_t c
        cdef int r
        self.bytes_view = np.frombuffer(buffer, np.uint8)
        self.buffer = buffer
        cdef cnp.ndarray view = self.bytes_view
        self.base = <er_segment_t *>cnp.PyArray_DATA(view)
        if config is not None:
            c = config
            r = er_segment_format(self.base, view.shape[0], &c)
            if r < 0:
                raise ValueError(f"no segment can have this configuration: {config}")
        r = er_segment_check(self.base, view.shape[0])
        if r < 0:
            raise ValueError(
                f"not a segment this build can use ({os.strerror(-r)}): it says ABI "
                f"{self.base.abi}, this build has {ER_ABI}")
        self.num_envs, self.num_workers = self.base.num_envs, self.base.num_workers
        self.num_slots, self.slot_bytes = self.base.num_slots, self.base.slot_bytes
        self.info_bytes, self.total_bytes = self.base.info_bytes, self.base.total_bytes
        self.off_actions, self.off_final = self.base.off_actions, self.base.off_final
        self.off_slots, self.off_infos = self.base.off_slots, self.base.off_infos
        self.off_workers, self.off_final_marks = self.base.off_workers, self.base.off_final_marks
        self.off_template_ids = self.base.off_template_ids

    @property
    def address(self):
        """Of its first byte."""
        return <uintptr_t>self.base

    cdef uint8_t *at(self, uint64_t offset):
        return <uint8_t *>self.base + offset

    cdef uint8_t *slot(self, uint32_t slot):
        return self.at(self.off_slots + slot * self.slot_bytes)

    cdef er_worker_t *worker(self, uint32_t worker):
        return <er_worker_t *>self.at(self.off_workers) + worker

    def array(self, uint64_t offset, shape, dtype):
        """A writable array (shape, dtype) over bytes at offset."""
        dtype = np.dtype(dtype)
        count = 1
        for n in shape:
            count *= n
        nbytes = count * dtype.itemsize
        if offset + nbytes > self.total_bytes:
            raise ValueError("outside of the segment")
        return self.bytes_view[offset:offset + nbytes].view(dtype).reshape(shape)

    def template_ids(self):
        """Info templates by env: uint16 (num_envs,)."""
        return self.array(self.off_template_ids, (self.num_envs,), np.uint16)

    def final_marks(self):
        """Where each env's final observation travels: uint8 (num_envs,)."""
        return self.array(self.off_final_marks, (self.num_envs,), np.uint8)

    def any_info(self):
        """Whether any env's info is not empty."""
        cdef uint16_t *template_ids = <uint16_t *>self.at(self.off_template_ids)
        cdef uint32_t i
        cdef uint16_t seen = 0
        for i in range(self.num_envs):
            seen |= template_ids[i]
        return seen != 0

    def stats(self, uint32_t worker):
        """A worker's statistics words, as a dict of counters and nanoseconds."""
        if worker >= self.num_workers:
            raise IndexError(worker)
        return _words(&self.worker(worker).stats)

    def stats_offset(self, uint32_t worker):
        """Where a worker's statistics lie in the segment; they are STATS_BYTES long."""
        if worker >= self.num_workers:
            raise IndexError(worker)
        return <char *>&self.worker(worker).stats - <char *>self.base

    def set_time_slots(self, uint32_t first, uint32_t count):
        """Says which slots follow each other in time: see er_slot_rows_t. Before they are used."""
        er_store_relaxed_32(&self.base.time_count, count)
        er_store_relaxed_32(&self.base.time_first, first)

    def time_slots(self):
        """What the caller said: (first, count)."""
        return (er_load_relaxed_32(&self.base.time_first),
                er_load_relaxed_32(&self.base.time_count))

    def set_timed(self, bint timed):
        """Has workers and caller take the time of what they do, from the next batch on."""
        self.timed = timed
        er_store_relaxed_32(&self.base.timed, timed)


# Signals and deaths are looked for at least this often during a wait.
cdef int64_t SLICE_NS = 50_000_000
cdef int64_t SEND_NS = 30_000_000_000  # for a peer to read what it is sent
cdef int64_t LOOK_NS = 500_000  # of a batch after which a look at the socket costs nothing


include "_watch.pxi"


cdef class CallerPort:
    """The caller's end of a segment. One thread at a time.

    Its workers hold `num_envs` envs, which need not be all that the segment has room for.
    """

    cdef Segment segment
    cdef er_caller_t caller
    cdef er_command_t command  # the last one posted
    cdef er_ring_view_t *commands
    cdef er_ring_view_t *replies
    cdef uint64_t *counted
    cdef uint32_t num_workers, num_envs
    cdef readonly bint in_flight  # a batch was started and not yet seen complete
    # of the last batch while the segment is timed, by er_park_now's clock
    cdef int64_t posted_ns, rung_ns, complete_ns
    cdef public bint uncollected  # a batch was started and its replies not yet read
    cdef public DeathWatch watch  # of its workers, or None

    def __cinit__(self, Segment segment, double spin, bint adaptive, uint32_t yield_every,
                  uint32_t num_envs):
        cdef uint32_t n = segment.num_workers
        self.segment = segment
        self.num_workers = n
        self.num_envs = num_envs
        self.commands = <er_ring_view_t *>calloc(n, sizeof(er_ring_view_t))
        self.replies = <er_ring_view_t *>calloc(n, sizeof(er_ring_view_t))
        self.counted = <uint64_t *>calloc((segment.num_envs + 63) // 64, sizeof(uint64_t))
        if not (self.commands and self.replies and self.counted):
            raise MemoryError()
        er_wait_open(&self.caller.wait, spin, adaptive, yield_every)
        cdef int r = er_caller_open(&self.caller, segment.base, self.commands, self.replies,
                                    self.counted)
        if r < 0:
            _raise_errno(r)

    def __dealloc__(self):
        free(self.commands)
        free(self.replies)
        free(self.counted)

    def post_messages(self, bint answered):
        """Announces a message to every worker; answered: as a batch that `wait` waits for."""
        cdef uint32_t seq = 0
        if answered:
            seq = er_caller_begin(&self.caller, self.num_envs)
            self.in_flight = True
        self._post(ER_OP_MESSAGE, seq, 0, 0)

    cpdef start_step(self, uint32_t slot, uint32_t action):
        """Starts a batch: every worker steps its envs into the slot."""
        self.in_flight = True
        er_spread_caller(self.segment.base, self.caller.seq)
        self._post(ER_OP_STEP, er_caller_begin(&self.caller, self.num_envs), slot, action)

    cdef _post(self, uint32_t op, uint32_t seq, uint32_t slot, uint32_t action):
        cdef er_command_t *command = &self.command
        cdef uint32_t w
        cdef int r
        command.op = op
        command.seq = seq
        command.slot = slot
        command.action = action
        for w in range(self.num_workers):
            r = er_caller_post(&self.caller, w, command)
            if r < 0:
                _raise_errno(r)
        if not (seq and self.segment.timed):  # moments are those of a batch
            er_caller_ring(&self.caller)
            return
        self.posted_ns = er_park_now()
        er_caller_ring(&self.caller)
        self.rung_ns = er_park_now()

    def replace_worker(self, uint32_t worker, uint32_t first, uint32_t end):
        """Makes ready for a process in the place of a dead worker, whose replies were drained.

        Args:
            worker: its number.
            first, end: its envs.

        Returns:
            The batch's command if its envs owe results: OP_STEP or OP_MESSAGE; else None.
        """
        cdef int r = er_caller_replace(&self.caller, worker, first, end - first)
        if r < 0:
            _raise_errno(r)
        return self.command.op if r and self.in_flight else None

    def post_again(self, uint32_t worker, bint told=False):
        """Posts the batch's command to one worker, or `told`: announces a message to it alone."""
        cdef er_command_t command = self.command
        if told:
            command.op, command.seq = ER_OP_MESSAGE, 0
        cdef int r = er_caller_post(&self.caller, worker, &command)
        if r < 0:
            _raise_errno(r)

    def excuse(self, uint32_t first, uint32_t end):
        """Counts envs as done in the batch under way, to which nobody will answer."""
        er_caller_excuse(&self.caller, first, end - first)

    @property
    def action(self):
        """How the actions of the command that was posted last travel."""
        return self.command.action

    def ring(self):
        """Wakes the workers."""
        er_caller_ring(&self.caller)

    cpdef int wait(self, int64_t deadline_ns) except -1:
        """Waits for the batch, at most some 50 ms.

        Returns 0 when it is complete, 1 when a worker rang (drain its reply), 2 when the time was
        up (look for deaths, call again). Handlers of signals run, and may raise.
        """
        cdef int64_t until = er_park_now() + SLICE_NS
        cdef int r
        if not self.in_flight:
            return 0
        if deadline_ns < until:
            until = deadline_ns
        if self.watch is not None and self.watch.noticed():
            r = 0 if er_caller_collect(&self.caller) == 0 else -ETIMEDOUT
        else:
            with nogil:
                r = er_caller_wait(&self.caller, until)
        if r == 0:
            self.in_flight = False
            if self.segment.timed:
                self.complete_ns = er_park_now()
            return 0
        if r == 1:
            return 2 if self.watch is not None and self.watch.noticed() else 1
        if r == -EINTR:
            PyErr_CheckSignals()
        return 2

    @property
    def batch(self):
        """Number of the batch that was started last."""
        return self.caller.seq

    def owes(self, uint32_t env_id):
        """Whether an env's results of the batch have not come."""
        return not self.counted[env_id // 64] >> (env_id % 64) & 1

    cpdef int attention(self):
        """What there is beyond observations, rewards and flags: 0, or a sum of 1 (a worker has a
        reply or a hint: see `report`) and 2 (infos)."""
        cdef uint32_t w
        cdef er_report_t *report
        cdef int what = 0
        for w in range(self.num_workers):
            report = &self.segment.worker(w).report
            if report.reply_bytes or report.hints:
                what |= 1
            if report.infos:
                what |= 2
        return what

    def report(self, uint32_t worker):
        """(reply_bytes, hints) of a worker whose batch is complete."""
        cdef er_report_t *report = &self.segment.worker(worker).report
        return report.reply_bytes, report.hints

    def holds_reply(self, uint32_t worker):
        """Whether bytes wait in a worker's reply ring."""
        return er_ring_holds_some(&self.replies[worker]) != 0

    def drain(self, uint32_t worker):
        """Bytes that wait in a worker's reply ring, which may be b""."""
        cdef bytes out
        cdef int64_t n
        cdef uint64_t most = 1 << 16
        parts = []
        while True:
            out = PyBytes_FromStringAndSize(NULL, most)
            n = er_ring_read(&self.replies[worker], PyBytes_AS_STRING(out), most)
            if n < 0:
                _raise_errno(<int>n)
            if n == 0:
                break
            parts.append(out[:n])
        return b"".join(parts)

    def moments(self, cnp.ndarray into):
        """Stores the moments of the last batch, if the segment is timed, in ns of time.monotonic.

        Args:
            into: int64 (4 + 4 * num_workers,), contiguous: the batch's sequence, when its commands
                were posted, when workers were rung, when it was seen complete; then by worker its
                env time so far, when its first env's turn came, when its results were stored,
                and when the batch *before* was published and the caller rung.

        Raises:
            ValueError: an array of another form.
        """
        cdef uint32_t w
        cdef er_stats_t *stats
        if (into.ndim != 1 or into.shape[0] != 4 + 4 * self.num_workers
                or into.descr.type_num != cnp.NPY_INT64 or not cnp.PyArray_IS_C_CONTIGUOUS(into)):
            raise ValueError(f"moments need int64 ({4 + 4 * self.num_workers},)")
        cdef int64_t *at = <int64_t *>cnp.PyArray_DATA(into)
        at[0], at[1] = self.caller.seq, self.posted_ns
        at[2], at[3] = self.rung_ns, self.complete_ns
        for w in range(self.num_workers):
            at += 4
            stats = &self.segment.worker(w).stats
            at[0] = er_load_relaxed(&stats.env_ns)
            at[1] = er_load_relaxed(&stats.began_ns)
            at[2] = er_load_relaxed(&stats.ended_ns)
            at[3] = er_load_relaxed(&stats.finished_ns[(self.caller.seq - 1) & 1])

    def wait_stats(self):
        """(waits that ended spinning, waits that slept, mean wait in ns) of the caller."""
        return self.caller.wait.spins, self.caller.wait.parks, self.caller.wait.mean_ns


include "_workerport.pxi"
include "_ends.pxi"
include "_codec.pxi"
include "_slots.pxi"
include "_steploop.pxi"
include "_steppath.pxi"
include "_flow.pxi"
include "_wire.pxi"
