# SPDX-License-Identifier: MIT
# Slots, leases on them, and the arrays a batch is handed out in. Part of _core.pyx.


cdef class Lease:
    """Base of arrays that live in a slot: while any of them lives, the slot is not written."""

    cdef SlotPool pool
    cdef uint32_t slot

    def __dealloc__(self):
        if self.pool is not None:
            self.pool._release(self.slot)


cdef class SlotPool:
    """The slots of a segment, and which of them are leased. Belongs to the caller's process.

    Slot 0 is never leased: it takes the batches that are copied out, in turn with another one if
    the batch before is to stay as it was (`keep_last`).

    Args:
        segment: the segment.
        back: called with a slot number when it is first needed; returns whether there is memory.
    """

    cdef Segment segment
    cdef object back
    cdef uint32_t *idle  # a stack: the slot used last is the one in the cache
    cdef uint32_t num_idle
    cdef uint32_t num_backed
    cdef uint32_t num_slots
    cdef uint32_t *pins  # by slot: how many hold it beside its lease
    cdef uint8_t *dropped  # by slot: whether its lease ended while it was pinned
    cdef readonly uint32_t spare  # takes turns with slot 0; 0: there is none
    cdef readonly uint32_t copied  # takes the next batch that is copied out
    cdef public uint32_t batch  # takes the batch under way, until its arrays are handed out
    cdef public int64_t last  # of the batch that was handed out last, with a spare; -1: none
    cdef public uint64_t elsewhere  # at least the number of batches that were not stored in slot 0
    cdef public object unpin_some  # called when no slot is free; returns whether there are some now

    def __cinit__(self, Segment segment, back):
        self.segment = segment
        self.back = back
        self.num_slots = segment.num_slots
        self.num_idle = 0
        self.num_backed = 1
        self.last = -1
        self.idle = <uint32_t *>malloc(self.num_slots * sizeof(uint32_t))
        self.pins = <uint32_t *>calloc(self.num_slots, sizeof(uint32_t))
        self.dropped = <uint8_t *>calloc(self.num_slots, 1)
        if not (self.idle and self.pins and self.dropped):
            raise MemoryError()

    def __dealloc__(self):
        free(self.idle)
        free(self.pins)
        free(self.dropped)

    cdef void _release(self, uint32_t slot):
        if self.pins[slot]:
            self.dropped[slot] = 1
            return
        self.idle[self.num_idle] = slot
        self.num_idle += 1

    def pin(self):
        """Has leased slots stay as they are after their leases, until `unpin`; returns them."""
        cdef uint32_t i
        free_slots = {self.idle[i] for i in range(self.num_idle)}
        slots = [i for i in range(1, self.num_backed)
                 if i not in free_slots and not self.dropped[i]]
        for i in slots:
            self.pins[i] += 1
        return slots

    def unpin(self, slots):
        """Undoes one `pin` of these slots."""
        cdef uint32_t slot
        for slot in slots:
            self.pins[slot] -= 1
            if not self.pins[slot] and self.dropped[slot]:
                self.dropped[slot] = 0
                self._release(slot)

    cpdef uint32_t take(self) except? 0xFFFFFFFF:
        """A slot that is free; without one, `copied`: then the batch must be copied out."""
        cdef uint32_t slot
        self.elsewhere += 1
        if self.num_idle:
            self.num_idle -= 1
            return self.idle[self.num_idle]
        if self.num_backed < self.num_slots:
            slot = self.num_backed
            if self.back(slot):
                self.num_backed += 1
                return slot
            self.num_slots = self.num_backed  # do not ask again
        if self.unpin_some is not None and self.unpin_some() and self.num_idle:
            self.num_idle -= 1
            return self.idle[self.num_idle]
        return self.copied

    def reserve(self, uint32_t count):
        """Takes the last `count` slots for good; returns the first one, or -1 if some are used."""
        if count + 1 > self.num_slots or self.num_backed > self.num_slots - count:
            return -1
        self.num_slots -= count
        return self.num_slots

    def unreserve(self, uint32_t count):
        """Undoes the last `reserve`, if none of the slots was used."""
        self.num_slots += count

    def keep_last(self):
        """Has the batch that was handed out last stay until another is. Before any is."""
        if self.num_backed != 1 or self.num_slots < 2 or not self.back(1):
            raise MemoryError("there is no memory for a second batch")
        self.num_backed = 2
        self.spare = 1

    cpdef copied_out(self, uint32_t slot):
        """The batch in `copied` was handed out; it stays until the next one is (`keep_last`)."""
        self.last = slot
        self.copied = self.spare - slot  # the other one

    def give_back(self, uint32_t slot):
        """Returns a slot that was taken but not handed out."""
        if slot and slot != self.spare:
            self._release(slot)

    @property
    def leased(self):
        """How many slots are taken, or pinned."""
        return self.num_backed - 1 - self.num_idle - (self.spare != 0)

    @property
    def backed(self):
        """How many slots have memory, slot 0 included."""
        return self.num_backed


cdef class Leaf:
    """One array of a slot: (num_envs, *shape) of dtype at an offset."""

    cdef cnp.dtype dtype
    cdef uint64_t offset
    cdef uint64_t nbytes
    cdef int nd
    cdef cnp.npy_intp dims[32]
    cdef object ahead  # an array that was made for the next copy, or None

    def __init__(self, uint64_t offset, shape, dtype):
        self.dtype = np.dtype(dtype)
        self.offset = offset
        self.nd = len(shape)
        self.nbytes = self.dtype.itemsize
        for i, n in enumerate(shape):
            self.dims[i] = n
            self.nbytes *= n


cdef inline object _empty(Leaf leaf):
    Py_INCREF(leaf.dtype)
    return PyArray_NewFromDescr(cnp.ndarray, leaf.dtype, leaf.nd, leaf.dims, NULL, NULL, 0, None)


cdef inline _prepare(Leaf leaf):
    if leaf.ahead is None:
        leaf.ahead = _empty(leaf)


cdef inline object _fresh(Leaf leaf, const uint8_t *slot):
    array, leaf.ahead = leaf.ahead, None
    if array is None:
        array = _empty(leaf)
    memcpy(cnp.PyArray_DATA(<cnp.ndarray>array), slot + leaf.offset, leaf.nbytes)
    return array


cdef class BatchReader:
    """Hands out what a slot holds.

    Args:
        pool: the slots.
        leaves: observation leaves, [(offset, shape, dtype), ...], shape with num_envs first.
        outcomes: the same for rewards, terminations and truncations.
        lease_bytes: leaves larger than this are handed out in place, others are copied, because
            copying them costs no more than making a view.
    """

    cdef SlotPool pool
    cdef list leaves
    cdef Leaf rewards, terminations, truncations
    cdef uint64_t lease_bytes
    cdef readonly bint leases
    cdef Lease kept  # on the batch that was handed out last, if the slots keep it

    def __init__(self, SlotPool pool, leaves, outcomes, uint64_t lease_bytes):
        self.pool = pool
        self.leaves = [Leaf(*leaf) for leaf in leaves]
        self.rewards, self.terminations, self.truncations = [Leaf(*leaf) for leaf in outcomes]
        self.lease_bytes = lease_bytes
        self.leases = any((<Leaf>leaf).nbytes > lease_bytes for leaf in self.leaves)

    cdef prepare(self):
        """Makes arrays ahead for what the next batch is copied to: while it is waited for."""
        cdef Leaf leaf
        _prepare(self.rewards)
        _prepare(self.terminations)
        _prepare(self.truncations)
        for leaf in self.leaves:
            if leaf.nbytes <= self.lease_bytes:
                _prepare(leaf)

    cpdef list observations(self, uint32_t slot):
        """The slot's observation leaves, as arrays that no one will write: a list.

        A slot that is leased belongs to these arrays from now on.
        """
        cdef SlotPool pool = self.pool
        cdef uint8_t *base = pool.segment.slot(slot)
        cdef Lease lease = None
        cdef Leaf leaf
        cdef list out = []
        if slot and slot != pool.spare:
            lease = Lease.__new__(Lease)
            lease.pool = pool
            lease.slot = slot
        if pool.spare:
            if lease is None:
                pool.copied_out(slot)
            pool.last = slot
            self.kept = lease
        for leaf in self.leaves:
            if lease is None or leaf.nbytes <= self.lease_bytes:
                out.append(_fresh(leaf, base))
                continue
            Py_INCREF(leaf.dtype)
            array = PyArray_NewFromDescr(
                cnp.ndarray, leaf.dtype, leaf.nd, leaf.dims, NULL, base + leaf.offset,
                cnp.NPY_ARRAY_CARRAY, None)
            PyArray_SetBaseObject(array, lease)
            Py_INCREF(lease)  # stolen by the array
            out.append(array)
        return out

    def gathered(self, const int32_t[::1] envs, const uint32_t[::1] slots):
        """Observation leaves of some envs, each row from the slot that `slots` has by its env's
        id: fresh arrays, as a list."""
        return [self._gather(leaf, envs, slots) for leaf in self.leaves]

    def outcomes_of(self, const int32_t[::1] envs, const uint32_t[::1] slots):
        """(rewards, terminations, truncations) of some envs, as `gathered`."""
        return (self._gather(self.rewards, envs, slots),
                self._gather(self.terminations, envs, slots),
                self._gather(self.truncations, envs, slots))

    cdef _gather(self, Leaf leaf, const int32_t[::1] envs, const uint32_t[::1] slots):
        cdef cnp.npy_intp[32] dims
        cdef Py_ssize_t i, count = envs.shape[0]
        cdef uint64_t row = leaf.nbytes // self.pool.segment.num_envs
        memcpy(dims, leaf.dims, leaf.nd * sizeof(cnp.npy_intp))
        dims[0] = count
        Py_INCREF(leaf.dtype)
        out = PyArray_NewFromDescr(cnp.ndarray, leaf.dtype, leaf.nd, dims, NULL, NULL, 0, None)
        cdef char *to = <char *>cnp.PyArray_DATA(<cnp.ndarray>out)
        for i in range(count):
            memcpy(to, self.pool.segment.slot(slots[envs[i]]) + leaf.offset + envs[i] * row, row)
            to += row
        return out

    def leased(self, uint32_t slot):
        """A lease on a slot: its end gives the slot back."""
        cdef Lease lease = Lease.__new__(Lease)
        lease.pool = self.pool
        lease.slot = slot
        return lease

    def rows(self, Lease lease not None, uint32_t first, uint32_t end):
        """A run of rows of the leased slot's observation leaves: large ones in place."""
        cdef uint8_t *base = self.pool.segment.slot(lease.slot)
        cdef cnp.npy_intp[32] dims
        cdef uint64_t row
        cdef Leaf leaf
        cdef list out = []
        for leaf in self.leaves:
            row = leaf.nbytes // self.pool.segment.num_envs
            memcpy(dims, leaf.dims, leaf.nd * sizeof(cnp.npy_intp))
            dims[0] = end - first
            Py_INCREF(leaf.dtype)
            array = PyArray_NewFromDescr(
                cnp.ndarray, leaf.dtype, leaf.nd, dims, NULL, base + leaf.offset + first * row,
                cnp.NPY_ARRAY_CARRAY, None)
            if row * (end - first) <= self.lease_bytes:
                out.append(array.copy())
                continue
            PyArray_SetBaseObject(array, lease)
            Py_INCREF(lease)  # stolen by the array
            out.append(array)
        return out

    cpdef tuple outcomes(self, uint32_t slot):
        """(rewards, terminations, truncations) of a slot: fresh arrays."""
        cdef uint8_t *base = self.pool.segment.slot(slot)
        return (_fresh(self.rewards, base), _fresh(self.terminations, base),
                _fresh(self.truncations, base))

    cpdef tuple first_outcomes(self, uint32_t slot):
        """(reward, terminated, truncated) of env 0 in a slot, as Python's own."""
        cdef uint8_t *base = self.pool.segment.slot(slot)
        return ((<double *>(base + self.rewards.offset))[0],
                base[self.terminations.offset] != 0, base[self.truncations.offset] != 0)

    def first(self, uint32_t slot):
        """Env 0's observation leaves in a slot, copied: a list of arrays, or of scalars."""
        cdef uint8_t *base = self.pool.segment.slot(slot)
        cdef Leaf leaf
        cdef list out = []
        for leaf in self.leaves:
            if leaf.nd == 1:
                out.append(PyArray_Scalar(base + leaf.offset, leaf.dtype, None))
                continue
            Py_INCREF(leaf.dtype)
            array = PyArray_NewFromDescr(cnp.ndarray, leaf.dtype, leaf.nd - 1, leaf.dims + 1, NULL,
                                         NULL, 0, None)
            memcpy(cnp.PyArray_DATA(<cnp.ndarray>array), base + leaf.offset,
                   leaf.nbytes // leaf.dims[0])
            out.append(array)
        return out


cdef class ActionSlab:
    """The action slab, for one leaf: takes batches that have its dtype and shape to the letter.

    A batch is an array, or a list of an array or numpy scalar per env.

    Args:
        view: the slab as an array (num_envs, *shape).
    """

    cdef object view
    cdef Leaf leaf
    cdef object scalar
    cdef uint64_t row_bytes
    cdef char *data

    def __init__(self, view):
        cdef cnp.ndarray array = view
        self.view = view
        self.leaf = Leaf(0, view.shape, view.dtype)
        self.scalar = view.dtype.type if view.dtype.isnative else None
        self.row_bytes = self.leaf.nbytes // max(view.shape[0], 1)
        self.data = <char *>cnp.PyArray_DATA(array)

    cpdef bint put(self, actions) except -1:
        """Stores a batch; whether it did."""
        if type(actions) is list:
            return self._put_rows(actions)
        if type(actions) is not cnp.ndarray:
            return False
        cdef cnp.ndarray array = actions
        cdef int i
        if not self._is_dtype(array):
            return False
        if cnp.PyArray_NDIM(array) != self.leaf.nd or not cnp.PyArray_IS_C_CONTIGUOUS(array):
            return False
        for i in range(self.leaf.nd):
            if cnp.PyArray_DIM(array, i) != self.leaf.dims[i]:
                return False
        memcpy(self.data, cnp.PyArray_DATA(array), self.leaf.nbytes)
        return True

    cdef inline bint _is_dtype(self, cnp.ndarray array) noexcept:
        # one dtype is two objects where a space was pickled
        return (<PyObject *>cnp.PyArray_DESCR(array) == <PyObject *>self.leaf.dtype
                or cnp.PyArray_EquivTypes(array.descr, self.leaf.dtype))

    cdef bint _put_rows(self, list actions) except -1:
        cdef Py_ssize_t i
        cdef char *row = self.data
        if len(actions) != self.leaf.dims[0]:
            return False
        for i in range(self.leaf.dims[0]):
            action = <object>PyList_GET_ITEM(actions, i)
            if self.leaf.nd == 1:
                if type(action) is not self.scalar:
                    return False
                cnp.PyArray_ScalarAsCtype(action, row)
            elif type(action) is not cnp.ndarray or not self._put_row(<cnp.ndarray>action, row):
                return False
            row += self.row_bytes
        return True

    cdef bint _put_row(self, cnp.ndarray array, char *row) except -1:
        cdef int i
        if not self._is_dtype(array):
            return False
        if cnp.PyArray_NDIM(array) != self.leaf.nd - 1 or not cnp.PyArray_IS_C_CONTIGUOUS(array):
            return False
        for i in range(1, self.leaf.nd):
            if cnp.PyArray_DIM(array, i - 1) != self.leaf.dims[i]:
                return False
        memcpy(row, cnp.PyArray_DATA(array), self.row_bytes)
        return True


cdef class IntSlab:
    """The action slab, where it has room for an int64 per env.

    Args:
        slab: the whole slab, uint8.
        num_envs: number of envs.
    """

    cdef object slab
    cdef int64_t *data
    cdef Py_ssize_t num_envs

    def __init__(self, slab, Py_ssize_t num_envs):
        cdef cnp.ndarray array = slab
        if <Py_ssize_t>array.nbytes < num_envs * <Py_ssize_t>sizeof(int64_t):
            raise ValueError("the slab is too small")
        self.slab = slab
        self.data = <int64_t *>cnp.PyArray_DATA(array)
        self.num_envs = num_envs

    cpdef bint put(self, list actions) except -1:
        """Stores one int of Python per env; whether it did."""
        cdef Py_ssize_t i
        cdef int overflow = 0
        cdef object action
        if len(actions) != self.num_envs:
            return False
        for i in range(self.num_envs):
            action = actions[i]
            if type(action) is not int:
                return False
            self.data[i] = PyLong_AsLongLongAndOverflow(action, &overflow)
            if overflow:
                return False
        return True
