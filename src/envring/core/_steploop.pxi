# SPDX-License-Identifier: MIT
# The compiled step loop, bound to this interpreter. Part of _core.pyx.

from envring._foreign.envring_worker.data.preorder import (
    INFO_KINDS, SCALAR_KINDS, flatten_entries, flatten_plan)


cdef extern from *:
    """
    #include <stddef.h>
    #include "er_steploop.h"

    static er_object *er_home_call_env(er_object *callable, long env, er_object *argument) {
        PyObject *number = PyLong_FromLong(env);
        if (!number) return NULL;
        PyObject *r = PyObject_CallFunctionObjArgs((PyObject *)callable, number,
                                                   (PyObject *)argument, NULL);
        Py_DECREF(number);
        return (er_object *)r;
    }
    static er_object *er_home_call_one(er_object *callable, er_object *argument) {
        return (er_object *)PyObject_CallOneArg((PyObject *)callable, (PyObject *)argument);
    }
    static er_object *er_home_get_item(er_object *sequence, ptrdiff_t index) {
        return (er_object *)PySequence_GetItem((PyObject *)sequence, index);
    }
    static int er_home_list_set_item(er_object *list, ptrdiff_t index, er_object *item) {
        return PyList_SetItem((PyObject *)list, index, (PyObject *)item);
    }
    static int er_home_is_true(er_object *o) { return PyObject_IsTrue((PyObject *)o); }
    static double er_home_as_double(er_object *o) { return PyFloat_AS_DOUBLE((PyObject *)o); }
    static int64_t er_home_as_int64(er_object *o, int *overflow) {
        return PyLong_AsLongLongAndOverflow((PyObject *)o, overflow);
    }
    static er_object *er_home_from_int64(int64_t value) {
        return (er_object *)PyLong_FromLongLong(value);
    }
    static ptrdiff_t er_home_dict_size(er_object *d) { return PyDict_Size((PyObject *)d); }
    static int er_home_dict_next(er_object *d, ptrdiff_t *at, er_object **k, er_object **v) {
        Py_ssize_t position = *at;
        int r = PyDict_Next((PyObject *)d, &position, (PyObject **)k, (PyObject **)v);
        *at = position;
        return r;
    }
    static er_object *er_home_dict_get(er_object *d, er_object *key) {
        PyObject *r = PyDict_GetItemWithError((PyObject *)d, (PyObject *)key);
        if (!r && PyErr_Occurred()) PyErr_Clear();
        return (er_object *)r;
    }
    static int er_home_equal(er_object *a, er_object *b) {
        return PyUnicode_Compare((PyObject *)a, (PyObject *)b) == 0;
    }
    static void er_home_incref(er_object *o) { Py_INCREF((PyObject *)o); }
    static void er_home_decref(er_object *o) { Py_DECREF((PyObject *)o); }

    static void er_home_fill(er_python_t *py, PyObject *ndarray, PyObject *numpy_true,
                             PyObject *numpy_false) {
        py->incref = er_home_incref;
        py->decref = er_home_decref;
        py->call_one = er_home_call_one;
        py->call_env = er_home_call_env;
        py->get_item = er_home_get_item;
        py->list_set_item = er_home_list_set_item;
        py->is_true = er_home_is_true;
        py->as_double = er_home_as_double;
        py->as_int64 = er_home_as_int64;
        py->from_int64 = er_home_from_int64;
        py->dict_size = er_home_dict_size;
        py->dict_next = er_home_dict_next;
        py->dict_get = er_home_dict_get;
        py->equal = er_home_equal;
        py->type_tuple = (er_object *)&PyTuple_Type;
        py->type_dict = (er_object *)&PyDict_Type;
        py->type_float = (er_object *)&PyFloat_Type;
        py->type_int = (er_object *)&PyLong_Type;
        py->type_long = (er_object *)&PyLong_Type;
        py->type_str = (er_object *)&PyUnicode_Type;
        py->type_ndarray = (er_object *)ndarray;
        py->true_ = (er_object *)Py_True;
        py->false_ = (er_object *)Py_False;
        py->numpy_true = (er_object *)numpy_true;
        py->numpy_false = (er_object *)numpy_false;
        py->offset_type = offsetof(PyObject, ob_type);
        py->offset_tuple_size = offsetof(PyVarObject, ob_size);
        py->offset_tuple_items = offsetof(PyTupleObject, ob_item);
        py->offset_scalar_value = offsetof(PyLongScalarObject, obval);
        py->offset_array = offsetof(PyArrayObject_fields, data);
    }
    """
    ctypedef struct er_object:
        pass
    ctypedef struct er_python_t:
        pass
    ctypedef struct er_obs_node_t:
        int kind, num_children, next, scalar_kind, ndim
        er_object *key
        er_object *dtype
        er_object *scalar
        const int64_t *shape
        uint64_t offset, nbytes
    ctypedef struct er_info_entry_t:
        int kind, num_children, next, ndim
        er_object *key
        er_object *type
        const int64_t *shape
        uint64_t offset, nbytes
    ctypedef struct er_info_template_t:
        uint16_t tid
        int num_top
        const er_info_entry_t *entries
    ctypedef struct er_steploop_t:
        const er_python_t *py
        int autoreset_mode
        uint32_t first_env, num_envs, at
        er_object **steps
        er_object *last_obs
        uint8_t *pending
        double *rewards
        uint8_t *terminations
        uint8_t *truncations
        er_object *reset_ended
        er_object *finish_ended
        er_object *store_obs
        er_object *store_info
        er_object *to_result
        er_object *to_reward
        const er_obs_node_t *obs_plan
        er_info_template_t *templates
        int num_templates
        int *env_template
        uint16_t *tids
        uint8_t *info_area
        const er_atomic32_t *timed
        er_stats_t *stats
        uint8_t *slot
        er_object *actions
        const int64_t *int_actions
        int python_ints
        uint64_t slow_rows
        int timing
    void er_steploop_begin(er_steploop_t *)
    void er_steploop_end(er_steploop_t *)
    int er_steploop_run(er_steploop_t *) except? -1
    void er_steploop_clear(er_steploop_t *)
    void er_home_fill(er_python_t *, object, object, object)


cdef er_python_t _python
er_home_fill(&_python, np.ndarray, np.True_, np.False_)


cdef class _Shapes:
    """Owns the C arrays and Python objects that plans and templates point to."""

    cdef list objects
    cdef list arrays

    def __cinit__(self):
        self.objects = []
        self.arrays = []

    cdef const int64_t *shape(self, shape):
        array = np.array(shape if len(shape) else (0,), np.int64)
        self.arrays.append(array)
        return <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>array)

    cdef er_object *hold(self, o):
        self.objects.append(o)
        return <er_object *><PyObject *>o


cdef class StepLoop:
    """The compiled step loop over an EnvSlice that is attached to a segment.

    Args:
        slice: the EnvSlice, whose methods hold the semantics.
        segment: its segment.
        leaf_offsets: offset in a slot of each observation leaf.
        outcome_offsets: offsets in a slot of rewards, terminations and truncations.
        action_scalars: the action slab as an array (num_envs,) if it holds a number per env.
    """

    cdef object slice
    cdef Segment segment
    cdef _Shapes shapes
    cdef list templates_seen
    cdef er_steploop_t loop
    cdef er_spread_t spread
    cdef er_obs_node_t *plan
    cdef int num_nodes
    cdef uint64_t off_rewards, off_terminations, off_truncations
    cdef object action_view
    cdef bint int_actions, takes_ints
    cdef list bound
    cdef cnp.ndarray pending, rewards, terminations, truncations

    def __init__(self, slice, Segment segment, leaf_offsets, outcome_offsets, action_scalars):
        self.slice = slice
        self.segment = segment
        self.shapes = _Shapes()
        self.templates_seen = []
        cdef er_steploop_t *loop = &self.loop
        cdef uint32_t n = slice.num_envs
        memset(loop, 0, sizeof(er_steploop_t))
        er_spread_open(&self.spread, segment.base)
        loop.py = &_python
        loop.autoreset_mode = slice.autoreset_mode
        loop.first_env = slice.first_env
        loop.num_envs = n
        loop.last_obs = self.shapes.hold(slice.last_obs)
        self.pending, self.rewards = slice.pending, slice.rewards
        self.terminations, self.truncations = slice.terminations, slice.truncations
        loop.pending = <uint8_t *>cnp.PyArray_DATA(self.pending)
        loop.rewards = <double *>cnp.PyArray_DATA(self.rewards)
        loop.terminations = <uint8_t *>cnp.PyArray_DATA(self.terminations)
        loop.truncations = <uint8_t *>cnp.PyArray_DATA(self.truncations)
        loop.reset_ended = self.shapes.hold(slice.reset_ended)
        loop.finish_ended = self.shapes.hold(slice.finish_ended)
        loop.store_obs = self.shapes.hold(slice.store_obs)
        loop.store_info = self.shapes.hold(slice.store_info)
        loop.to_result = self.shapes.hold(slice.to_result)
        loop.to_reward = self.shapes.hold(slice.to_reward)
        self.off_rewards, self.off_terminations, self.off_truncations = outcome_offsets
        loop.tids = <uint16_t *>segment.at(segment.off_tids)
        loop.info_area = <uint8_t *>segment.at(segment.off_infos)
        loop.steps = <er_object **>calloc(n, sizeof(er_object *))
        loop.env_template = <int *>malloc(n * sizeof(int))
        self.plan = NULL
        if not (loop.steps and loop.env_template):
            raise MemoryError()
        for i in range(n):
            loop.env_template[i] = -1
        self.action_view = None
        self.int_actions = self.takes_ints = False
        if action_scalars is not None:
            self.takes_ints = slice.actions.slab.nbytes >= segment.num_envs * sizeof(int64_t)
            self.action_view = action_scalars[slice.first_env:slice.first_env + n]
            self.int_actions = action_scalars.dtype == np.int64
        if not slice.obs_writer.has_dynamic:
            self._make_plan(slice.obs_writer.plan, leaf_offsets)
        self.rebind()

    def __dealloc__(self):
        if self.loop.py != NULL:
            er_steploop_clear(&self.loop)
        free(self.loop.steps)
        free(self.loop.env_template)
        for i in range(self.loop.num_templates):
            free(<void *>self.loop.templates[i].entries)
        free(self.loop.templates)
        free(self.plan)

    def count_for(self, WorkerPort port):
        """Lets the times that the loop takes count as those of the port's worker."""
        self.loop.timed = &self.segment.base.timed
        self.loop.stats = &self.segment.worker(port.port.worker).stats

    def rebind(self):
        """Takes the slice's step methods as they are now."""
        cdef list steps = list(self.slice.steps)
        self.bound = steps
        for i in range(self.loop.num_envs):
            self.loop.steps[i] = <er_object *>PyList_GET_ITEM(steps, i)

    cdef _make_plan(self, plan, offsets):
        nodes = flatten_plan(plan)
        self.plan = <er_obs_node_t *>calloc(len(nodes), sizeof(er_obs_node_t))
        if not self.plan:
            raise MemoryError()
        cdef er_obs_node_t *node
        for i, (kind, key, num_children, following, leaf) in enumerate(nodes):
            node = &self.plan[i]
            node.kind = kind
            node.num_children = num_children
            node.next = following
            node.key = self.shapes.hold(sys.intern(key) if type(key) is str else key)
            if leaf is None:
                continue
            dtype = np.dtype(leaf[2])
            node.dtype = self.shapes.hold(dtype)
            node.scalar = self.shapes.hold(dtype.type)
            node.scalar_kind = SCALAR_KINDS.get(dtype.kind, 0)
            node.ndim = len(leaf[3])
            node.shape = self.shapes.shape(leaf[3])
            node.offset = offsets[leaf[1]]
            node.nbytes = dtype.itemsize
            for length in leaf[3]:
                node.nbytes *= length
        self.loop.obs_plan = self.plan

    def add_template(self, template):
        """Gives the fast path an info template; those with objects in them stay in Python."""
        tid, entries = template
        flat = flatten_entries(entries)
        if flat is None:
            return
        cdef er_info_template_t *grown = <er_info_template_t *>malloc(
            (self.loop.num_templates + 1) * sizeof(er_info_template_t))
        cdef er_info_entry_t *cells = <er_info_entry_t *>calloc(
            max(len(flat), 1), sizeof(er_info_entry_t))
        if not (grown and cells):
            free(grown)
            free(cells)
            raise MemoryError()
        cdef er_info_entry_t *cell
        for i, (entry, num_children, following) in enumerate(flat):
            cell = &cells[i]
            kind = entry[0]
            cell.kind = INFO_KINDS[kind]
            key = entry[1]
            # the env's own keys are mostly interned: then comparing is a matter of pointers
            cell.key = self.shapes.hold(sys.intern(key) if type(key) is str else key)
            cell.num_children = num_children
            cell.next = following
            if kind == "d":
                continue
            cell.offset = entry[2]
            cell.nbytes = 1 if kind == "b" else 8
            if kind in "na":
                dtype = np.dtype(entry[3])
                cell.nbytes = dtype.itemsize
                cell.type = self.shapes.hold(dtype.type if kind == "n" else dtype)
            if kind == "a":
                cell.ndim = len(entry[4])
                cell.shape = self.shapes.shape(entry[4])
                for length in entry[4]:
                    cell.nbytes *= length
        memcpy(grown, self.loop.templates, self.loop.num_templates * sizeof(er_info_template_t))
        grown[self.loop.num_templates].tid = tid
        grown[self.loop.num_templates].num_top = len(entries)
        grown[self.loop.num_templates].entries = cells
        free(self.loop.templates)
        self.loop.templates = grown
        self.loop.num_templates += 1

    cdef step_c(self, uint32_t slot, uint32_t action):
        cdef er_steploop_t *loop = &self.loop
        cdef uint32_t n = loop.num_envs
        cdef uint8_t *base = self.segment.slot(slot)
        cdef int r
        er_steploop_begin(loop)
        self.slice.slot = slot
        memset(loop.tids + loop.first_env, 0, n * sizeof(uint16_t))
        memset(self.segment.at(self.segment.off_final_marks)
               + loop.first_env, 0, n)
        loop.int_actions = NULL
        loop.python_ints = action == ER_ACTIONS_INTS
        if action == ER_ACTIONS_SLAB and self.action_view is not None:
            actions = self.action_view
            if self.int_actions:
                loop.int_actions = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>actions)
        elif loop.python_ints and self.takes_ints:
            actions = self.action_view
            loop.int_actions = (<const int64_t *>self.segment.at(self.segment.off_actions)
                                + loop.first_env)
        else:
            actions = self.slice.actions.read(action)
        loop.actions = <er_object *><PyObject *>actions
        loop.slot = base
        while True:
            try:
                er_steploop_run(loop)
                break
            except Exception:
                self.slice.fail(loop.at)
                loop.at += 1
        loop.actions = NULL
        memcpy(base + self.off_rewards + loop.first_env * sizeof(double), loop.rewards,
               n * sizeof(double))
        memcpy(base + self.off_terminations + loop.first_env, loop.terminations, n)
        memcpy(base + self.off_truncations + loop.first_env, loop.truncations, n)
        er_steploop_end(loop)

    def step(self, uint32_t slot, uint32_t action):
        """Steps the slice into a slot; `action` says how the actions travel."""
        self.step_c(slot, action)

    def serve(self, WorkerPort port, double timeout):
        """Runs step commands until there is something else to do.

        Returns a command (op, seq, slot, action) that is no step, a step's (seq,) whose reply is
        still to be sent, or None after `timeout` seconds or sooner without any command.
        """
        cdef er_command_t command
        cdef er_stats_t *stats = &self.segment.worker(port.port.worker).stats
        cdef er_report_t *report = &self.segment.worker(port.port.worker).report
        cdef int64_t timeout_ns = <int64_t>(timeout * 1e9)
        cdef int64_t now = er_park_now()
        cdef int64_t then
        cdef int r
        while True:
            then = now
            with nogil:
                r = er_worker_next(&port.port, &command, then + timeout_ns)
            now = er_park_now()
            if r < 0:
                if r == -EINTR:
                    PyErr_CheckSignals()
                elif r != -ETIMEDOUT:
                    _raise_errno(r)
                return None
            port._count(now - then)
            if command.op != ER_OP_STEP:
                return command.op, command.seq, command.slot, command.action
            self.step_c(command.slot, command.action)
            then = now
            now = er_park_now()
            er_stat_add(&stats.busy_ns, now - then)
            er_stat_add(&stats.batches, 1)
            er_stat_add(&stats.env_steps, self.loop.num_envs)
            er_stat_set(&stats.slow_rows, self.loop.slow_rows)
            if self.slice.dirty:
                return (command.seq,)
            report.reply_bytes = 0
            report.hints = 0
            er_worker_finish(&port.port, command.seq)
            if self.loop.timing:
                er_stat_set(&stats.finished_ns[command.seq & 1], er_park_now())
            er_spread(&self.spread, self.segment.base, port.port.worker)
