# SPDX-License-Identifier: MIT
# The compiled step loop, bound to this interpreter. Part of _core.pyx.

from envring._foreign.envring_worker.native import tables


cdef extern from *:
    """
    #include <stddef.h>
    #include "er_python.h"

    /* An er_object is a PyObject: functions are entered as they are. */
    static void er_python_fill(er_python_t *py, PyObject *ndarray, PyObject *numpy_true,
                               PyObject *numpy_false) {
        er_python_api_t api = {
            .call_function_obj_args = (void *)PyObject_CallFunctionObjArgs,
            .int_from_long = (void *)PyLong_FromLong,
            .decref = (void *)Py_DecRef,
            .dict_get_item_with_error = (void *)PyDict_GetItemWithError,
            .err_occurred = (void *)PyErr_Occurred,
            .err_clear = PyErr_Clear,
            .rich_compare_bool = (void *)PyObject_RichCompareBool,
        };
        er_python_bind(py, &api);
        py->incref = (void *)Py_IncRef;
        py->decref = (void *)Py_DecRef;
        py->call_one = (void *)PyObject_CallOneArg;
        py->get_item = (void *)PySequence_GetItem;
        py->list_set_item = (void *)PyList_SetItem;
        py->is_true = (void *)PyObject_IsTrue;
        py->as_double = (void *)PyFloat_AsDouble;
        py->as_int64 = (void *)PyLong_AsLongLongAndOverflow;
        py->dict_size = (void *)PyDict_Size;
        py->dict_next = (void *)PyDict_Next;
        py->save_thread = (void *)PyEval_SaveThread;
        py->restore_thread = (void *)PyEval_RestoreThread;
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
    ctypedef struct er_python_t:
        pass
    void er_python_fill(er_python_t *, object, object, object)


cdef er_python_t _python
er_python_fill(&_python, np.ndarray, np.True_, np.False_)


def struct_offsets():
    """Where this build has the fields of C structs that Python fills in: er_struct_offsets."""
    cdef int count = er_struct_offsets(NULL, 0)
    values = np.zeros(count, np.uint32)
    er_struct_offsets(<uint32_t *>cnp.PyArray_DATA(values), count)
    return values.tolist()


if struct_offsets()[-len(tables.KNOWN):] != tables.KNOWN:
    raise ImportError(f"{__file__} was built from other sources than {tables.__file__}")


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
    cdef object tables
    cdef object actions  # of a command for some envs, which may be served in parts
    cdef er_steploop_t loop

    def __init__(self, slice, Segment segment, leaf_offsets, outcome_offsets, action_scalars):
        cdef cnp.npy_intp size = sizeof(er_steploop_t)
        memory = cnp.PyArray_SimpleNewFromData(1, &size, cnp.NPY_UINT8, &self.loop)
        self.slice = slice
        self.tables = tables.LoopTables(
            memory.view(tables.STEP_LOOP), <uintptr_t>&_python, lambda kind: True, slice, segment,
            leaf_offsets, outcome_offsets, action_scalars)

    def __dealloc__(self):
        if self.loop.py != NULL:
            er_steploop_clear(&self.loop)

    def count_for(self, WorkerPort port):
        """Lets the times that the loop takes count as those of the port's worker."""
        er_port_count_for(&port.port, &self.loop)

    def rebind(self):
        """Takes the slice's step methods as they are now."""
        self.tables.rebind()

    def add_template(self, template):
        """Gives the fast path an info template; those with objects in them stay in Python."""
        self.tables.add_template(template)

    cpdef step(self, uint32_t slot, uint32_t action):
        """Steps the slice into a slot; `action` says how the actions travel."""
        if not er_steploop_find_actions(&self.loop, action):
            actions = self.slice.actions.read(action)  # kept by this name until all have stepped
            self.loop.actions = <er_object *><PyObject *>actions
        er_steploop_begin(&self.loop, slot)
        self._step_rest()

    def run_one(self, uint32_t i, uint32_t slot, uint32_t action):
        """Steps env i of the slice into a slot, or resets it."""
        cdef bint resetting = action == ER_ACTIONS_RESET
        if not resetting and not er_steploop_find_actions(&self.loop, action):
            actions = self.slice.actions.read(action)
            self.loop.actions = <er_object *><PyObject *>actions
        er_steploop_begin_one(&self.loop, slot, i, resetting)
        try:
            er_steploop_run_one(&self.loop)
        except BaseException:
            self._fail()

    cdef _step_rest(self):
        """Steps the envs that have not been stepped; one that fails keeps none of them from it."""
        while True:
            try:
                er_steploop_run(&self.loop)
                return
            except BaseException:  # of a coroutine or of Rust, too
                self._fail()

    cdef _fail(self):
        self.slice.fail(self.loop.at)
        self.loop.at += 1

    def serve(self, WorkerPort port, double timeout):
        """Runs step commands until there is something else to do.

        Returns a command (op, seq, slot, action) that steps nothing, a step's (seq,) whose reply is
        still to be sent, or None after `timeout` seconds or sooner without any command.
        """
        cdef er_command_t *command = &port.port.command
        cdef int64_t timeout_ns = <int64_t>(timeout * 1e9)
        cdef bint publish = False
        cdef int r
        while True:
            try:
                r = er_port_serve(&port.port, &self.loop, publish, self.slice.has_reply, timeout_ns)
            except BaseException:
                self._fail()
                if port.env() < 0:
                    self._step_rest()
                else:
                    self.rebind()
                er_port_count_step(&port.port, &self.loop)
                r = ER_SERVED_STEP
            if r == ER_SERVED_ACTIONS:
                self.actions = self.slice.actions.read(command.action)
                self.loop.actions = <er_object *><PyObject *>self.actions
                publish = False
                continue
            if r != ER_SERVED_STEP:
                if r < 0 or command.op != ER_OP_STEP or command.action == ER_ACTIONS_RESET:
                    return port.taken(r)
                self.step(command.slot, command.action)
                er_port_count_step(&port.port, &self.loop)
            if self.slice.has_reply:
                return (command.seq,)
            publish = True
