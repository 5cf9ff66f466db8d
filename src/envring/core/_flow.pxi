# SPDX-License-Identifier: MIT
# Envs that are stepped by themselves: csrc/er_flow.h. Part of _core.pyx.


cdef class Flow:
    """Commands for some envs of a port's workers, and what is done of them.

    Args:
        port: the caller's port, with no batch under way while this is used.
        spans: (first env, the one after the last) of each worker, in the order of their rings.
    """

    cdef CallerPort port
    cdef er_flow_t flow
    cdef uint32_t num_envs
    cdef uint32_t *words  # three of num_envs: what the C core needs, and room for ids
    cdef uint8_t *out  # by env: whether it was sent and has not been taken
    cdef uint8_t *marked
    cdef uint32_t *worker_of  # by env, and the first env of that worker
    cdef uint32_t *first_of
    cdef uint32_t *end_of
    cdef readonly uint32_t num_out

    def __cinit__(self, CallerPort port not None, spans):
        cdef uint32_t n = port.segment.num_envs
        cdef uint32_t w, env
        self.port = port
        self.num_envs = n
        self.words = <uint32_t *>calloc(6 * n, sizeof(uint32_t))
        self.out = <uint8_t *>calloc(2 * n, 1)
        if not (self.words and self.out):
            raise MemoryError()
        self.marked = self.out + n
        self.worker_of = self.words + 3 * n
        self.first_of, self.end_of = self.words + 4 * n, self.words + 5 * n
        for w, (first, end) in enumerate(spans):
            for env in range(first, end):
                self.worker_of[env], self.first_of[env], self.end_of[env] = w, first, end
        er_flow_open(&self.flow, &port.caller, self.words, self.words + n)

    def __dealloc__(self):
        free(self.words)
        free(self.out)

    def among_out(self, const int32_t[::1] envs):
        """Those of the envs that were sent and have not been taken, as a list."""
        cdef Py_ssize_t i
        return [envs[i] for i in range(envs.shape[0]) if self.out[envs[i]]]

    def owing(self):
        """The envs that owe a result, as a list."""
        return [env for env in range(self.num_envs) if self.words[env]]

    def post(self, const int32_t[::1] envs, uint32_t slot, uint32_t action, bint together):
        """Has envs stepped into a slot, or reset, and wakes their workers.

        Args:
            envs: their ids, in ascending order, none of which is out.
            slot: for the results.
            action: how the actions travel.
            together: whether each run of one worker's envs is published when its last one is done.
        """
        cdef er_command_t command
        cdef Py_ssize_t i = 0, n = envs.shape[0]
        cdef uint32_t first
        cdef int r
        if not self.num_out:
            er_flow_begin(&self.flow)
        command.seq = er_flow_sequence(&self.flow)
        command.slot = slot
        command.action = action
        while i < n:
            first = envs[i]
            command.first = first - self.first_of[first]
            command.count = 0
            while (i < n and <uint32_t>envs[i] == first + command.count
                   and <uint32_t>envs[i] < self.end_of[first]):
                self.out[envs[i]] = 1
                command.count += 1
                i += 1
            self.num_out += command.count
            command.op = ER_OP_EACH
            if together:
                command.op = ER_OP_TOGETHER
            r = er_flow_post(&self.flow, self.worker_of[first], self.first_of[first], &command)
            if r < 0:
                _raise_errno(r)
        er_spread_caller(self.port.segment.base, command.seq)
        er_caller_ring(&self.port.caller)

    def replace_worker(self, uint32_t worker, uint32_t first, uint32_t end):
        """Makes ready for a process in the place of a dead worker, whose replies were drained.

        Its envs that owe results (`owing`) have to be posted again.
        """
        cdef int r = er_flow_replace(&self.flow, worker, first, end - first)
        if r < 0:
            _raise_errno(r)

    def post_again(self, uint32_t env, uint32_t slot, uint32_t action):
        """Posts the command of one env that owes a result to the new process of its worker."""
        cdef er_command_t command
        cdef int r
        command.op, command.seq = ER_OP_EACH, self.words[env]
        command.slot, command.action = slot, action
        command.first, command.count = env - self.first_of[env], 1
        r = er_caller_post(&self.port.caller, self.worker_of[env], &command)
        if r < 0:
            _raise_errno(r)

    def collect(self):
        """How many envs are done and not taken, without waiting."""
        return er_flow_collect(&self.flow)

    def wait(self, uint32_t count, int64_t deadline_ns):
        """Waits until so many envs are done, at most some 50 ms; returns as CallerPort.wait."""
        cdef int64_t until = er_park_now() + SLICE_NS
        cdef int r
        if deadline_ns < until:
            until = deadline_ns
        if self.port.watch is not None and self.port.watch.noticed():
            r = 0 if er_flow_collect(&self.flow) >= count else -ETIMEDOUT
        else:
            with nogil:
                r = er_flow_wait(&self.flow, count, until)
        if r == 0:
            return 0
        if r == 1:
            return 2 if self.port.watch is not None and self.port.watch.noticed() else 1
        if r == -EINTR:
            PyErr_CheckSignals()
        return 2

    def done_among(self, const int32_t[::1] envs):
        """How many of the envs, all of which are out, are done; without waiting."""
        cdef Py_ssize_t i
        cdef uint32_t count = 0
        er_flow_collect(&self.flow)
        for i in range(envs.shape[0]):
            count += self.out[envs[i]] and not self.words[envs[i]]
        return count

    def take(self, uint32_t count):
        """Ids of the envs that have waited longest: int32 (count,). So many must be done."""
        if count > self.flow.num_ready:
            raise ValueError("so many envs are not done")
        cdef uint32_t *ids = self.words + 2 * self.num_envs
        er_flow_take(&self.flow, count, ids)
        return self._taken(count, ids)

    def take_these(self, const int32_t[::1] envs):
        """Those of the envs that are done, as `take`."""
        cdef Py_ssize_t i
        cdef uint32_t *ids = self.words + 2 * self.num_envs
        for i in range(envs.shape[0]):
            self.marked[envs[i]] = 1
        cdef uint32_t count = er_flow_take_marked(&self.flow, self.marked, ids)
        for i in range(envs.shape[0]):
            self.marked[envs[i]] = 0
        return self._taken(count, ids)

    cdef _taken(self, uint32_t count, uint32_t *ids):
        cdef uint32_t i
        taken = np.empty(count, np.int32)
        cdef int32_t[::1] view = taken
        for i in range(count):
            view[i] = ids[i]
            self.out[ids[i]] = 0
        self.num_out -= count
        return taken

    def put_back(self, const int32_t[::1] envs):
        """Undoes taking these; they come first the next time."""
        cdef uint32_t i, count = envs.shape[0]
        cdef uint32_t *ids = self.words + 2 * self.num_envs
        for i in range(count):
            ids[i] = envs[i]
            self.out[ids[i]] = 1
        self.num_out += count
        er_flow_put_back(&self.flow, count, ids)


cdef class PartPath:
    """The short way through a step of the same envs each time, without Python in between.

    As with StepPath: every call answers whether the short way can be taken; where it cannot,
    nothing was changed.

    Args:
        flow: of the envs' pool.
        reader: hands out what is in slot 0.
        actions: the action slab, for actions of the space's dtype and shape.
        envs: the envs' ids, in ascending order.
    """

    cdef Flow flow
    cdef BatchReader reader
    cdef ActionSlab actions
    cdef list runs  # (first env, count): envs that follow each other, of one worker
    cdef uint32_t count
    cdef uint32_t *ids
    cdef bint blocked

    def __cinit__(self, Flow flow not None, BatchReader reader not None,
                  ActionSlab actions not None, const int32_t[::1] envs):
        cdef Py_ssize_t i, n = envs.shape[0]
        cdef uint32_t first, count
        self.flow, self.reader, self.actions = flow, reader, actions
        self.count = n
        self.ids = <uint32_t *>malloc(n * sizeof(uint32_t))
        if not self.ids:
            raise MemoryError()
        self.runs = []
        i = 0
        while i < n:
            first = envs[i]
            count = 0
            while (i < n and <uint32_t>envs[i] == first + count
                   and <uint32_t>envs[i] < flow.end_of[first]):
                self.ids[i] = envs[i]
                count += 1
                i += 1
            self.runs.append((first, count))

    def __dealloc__(self):
        free(self.ids)

    def start(self, actions):
        """Has the envs stepped with actions of the space's dtype; False for the long way."""
        cdef Flow flow = self.flow
        cdef Leaf leaf = self.actions.leaf
        cdef uint64_t row = self.actions.row_bytes
        cdef er_command_t command
        cdef uint32_t i, first, count
        cdef const char *source
        cdef int r, axis
        if self.blocked or type(actions) is not cnp.ndarray:
            return False
        cdef cnp.ndarray array = actions
        if not self.actions._is_dtype(array) or not cnp.PyArray_IS_C_CONTIGUOUS(array):
            return False
        if cnp.PyArray_NDIM(array) != leaf.nd or cnp.PyArray_DIM(array, 0) != self.count:
            return False
        for axis in range(1, leaf.nd):
            if cnp.PyArray_DIM(array, axis) != leaf.dims[axis]:
                return False
        for i in range(self.count):
            if flow.out[self.ids[i]]:
                return False
        source = <const char *>cnp.PyArray_DATA(array)
        if not flow.num_out:
            er_flow_begin(&flow.flow)
        command.op = ER_OP_TOGETHER
        command.seq = er_flow_sequence(&flow.flow)
        command.slot = 0
        command.action = ER_ACTIONS_SLAB
        for first, count in self.runs:
            memcpy(self.actions.data + first * row, source, count * row)
            source += count * row
            command.first, command.count = first - flow.first_of[first], count
            for i in range(first, first + count):
                flow.out[i] = 1
            flow.num_out += count
            r = er_flow_post(&flow.flow, flow.worker_of[first], flow.first_of[first], &command)
            if r < 0:
                _raise_errno(r)
        er_spread_caller(flow.port.segment.base, command.seq)
        er_caller_ring(&flow.port.caller)
        return True

    def block(self):
        """Has `start` refer to the long way from now on."""
        self.blocked = True

    cdef uint32_t _missing(self):
        cdef uint32_t i, missing = 0
        for i in range(self.count):
            missing += self.flow.words[self.ids[i]] != 0
        return missing

    def wait(self):
        """Waits for the envs, at most some 50 ms; whether they are done."""
        cdef uint32_t ready, missing
        while True:
            ready = er_flow_collect(&self.flow.flow)
            missing = self._missing()
            if not missing:
                return True
            if self.flow.wait(ready + missing, ER_FOREVER) != 0:
                return False

    def take(self):
        """(observation leaves, rewards, terminations, truncations) of the envs, which are done.

        None for the long way: there are infos or replies.
        """
        cdef Flow flow = self.flow
        cdef uint16_t *template_ids
        cdef uint32_t i, w
        for w in range(flow.port.num_workers):
            if er_ring_holds_some(&flow.port.replies[w]):
                return None
        template_ids = <uint16_t *>flow.port.segment.at(flow.port.segment.off_template_ids)
        for i in range(self.count):
            if template_ids[self.ids[i]]:
                return None
        for i in range(self.count):
            flow.marked[self.ids[i]] = 1
        er_flow_take_marked(&flow.flow, flow.marked, flow.words + 2 * flow.num_envs)
        for i in range(self.count):
            flow.marked[self.ids[i]] = 0
            flow.out[self.ids[i]] = 0
        flow.num_out -= self.count
        return ([self._gather(leaf) for leaf in self.reader.leaves],
                self._gather(self.reader.rewards), self._gather(self.reader.terminations),
                self._gather(self.reader.truncations))

    cdef _gather(self, Leaf leaf):
        cdef cnp.npy_intp[32] dims
        cdef uint64_t row = leaf.nbytes // self.flow.num_envs
        cdef const uint8_t *base = self.reader.pool.segment.slot(0) + leaf.offset
        cdef uint32_t first, count
        memcpy(dims, leaf.dims, leaf.nd * sizeof(cnp.npy_intp))
        dims[0] = self.count
        Py_INCREF(leaf.dtype)
        out = PyArray_NewFromDescr(cnp.ndarray, leaf.dtype, leaf.nd, dims, NULL, NULL, 0, None)
        cdef char *to = <char *>cnp.PyArray_DATA(<cnp.ndarray>out)
        for first, count in self.runs:
            memcpy(to, base + first * row, count * row)
            to += count * row
        return out
