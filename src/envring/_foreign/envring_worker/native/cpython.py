# SPDX-License-Identifier: MIT
"""What the step loop needs to know of the CPython that runs it: functions, types and offsets.

Functions are exported by every CPython from 2.7 on. Offsets are found by looking at live objects,
because they differ between versions and builds; where anything looks otherwise than expected, the
answer is `UnknownPython` and steps go through the loop in Python.
"""

from __future__ import absolute_import, division, print_function

import ctypes
import platform

import numpy as np

from .structs import Api, Array, PythonTable

_WORD = ctypes.sizeof(ctypes.c_void_p)

_FUNCTIONS = {
    "incref": "Py_IncRef",
    "decref": "Py_DecRef",
    "get_item": "PySequence_GetItem",
    "list_set_item": "PyList_SetItem",
    "is_true": "PyObject_IsTrue",
    "as_double": "PyFloat_AsDouble",
    "as_int64": "PyLong_AsLongLongAndOverflow",
    "dict_size": "PyDict_Size",
    "dict_next": "PyDict_Next",
    "save_thread": "PyEval_SaveThread",
    "restore_thread": "PyEval_RestoreThread",
}
_SHIMMED = {
    "call_function_obj_args": ("PyObject_CallFunctionObjArgs",),
    "int_from_long": ("PyInt_FromLong", "PyLong_FromLong"),
    "decref": ("Py_DecRef",),
    "dict_get_item_with_error": ("PyDict_GetItemWithError", "_PyDict_GetItemWithError"),
    "err_occurred": ("PyErr_Occurred",),
    "err_clear": ("PyErr_Clear",),
    "rich_compare_bool": ("PyObject_RichCompareBool",),
}


class UnknownPython(Exception):
    """This interpreter is not laid out as any that is known."""


class _Plain(object):
    pass


def _word(address):
    return ctypes.c_size_t.from_address(address).value


def _address(*names):
    for name in names:
        try:
            return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        except AttributeError:
            pass
    return None


def _required(*names):
    address = _address(*names)
    if address is None:
        raise UnknownPython("it does not export %s" % names[0])
    return address


def _find_type():
    offset = object.__basicsize__ - _WORD
    witnesses = [1.5, 7, 1 << 80, "text", u"text", (1, 2), {1: 2}, [1], object(), _Plain(), True]
    witnesses += [None, np.float32(1), np.int64(1), np.zeros(2), np.dtype("f4")]
    if offset < 0 or not all(_word(id(each) + offset) == id(type(each)) for each in witnesses):
        raise UnknownPython("an object's type is not where it should be")
    return offset


def _find_tuple():
    """Offsets of a tuple's size and of its items."""
    witnesses = [tuple(object() for _ in range(n)) for n in (1, 2, 4, 5, 9)]
    items = tuple.__basicsize__
    for each in witnesses:
        for i, item in enumerate(each):
            if _word(id(each) + items + i * _WORD) != id(item):
                raise UnknownPython("a tuple's items are not where they should be")
    for offset in range(object.__basicsize__, items, _WORD):
        if all(_word(id(each) + offset) == len(each) for each in witnesses):
            return offset, items
    raise UnknownPython("a tuple's size is not where it should be")


def _find_array():
    offset = object.__basicsize__
    grid = np.arange(24.0).reshape(4, 6)
    witnesses = [np.zeros(()), np.zeros(3, np.uint8), grid, grid.T, grid[::2, 1:3]]
    witnesses += [np.zeros((2, 3, 4), np.int16), np.zeros(3, np.dtype("f4").newbyteorder())]
    for each in witnesses:
        struct = Array.from_address(id(each) + offset)
        if not (
            struct.data == each.__array_interface__["data"][0]
            and struct.nd == each.ndim
            and (struct.base or 0) == (0 if each.base is None else id(each.base))
            and struct.descr == id(each.dtype)
            and struct.flags == each.flags.num
            # pointers, which may be followed only now
            and all(struct.dimensions[i] == each.shape[i] for i in range(each.ndim))
            and all(struct.strides[i] == each.strides[i] for i in range(each.ndim))
        ):
            raise UnknownPython("numpy %s lays arrays out in another way" % np.__version__)
    return offset


def scalar_at(kind, offset):
    """Whether scalars of this numpy number type have their value at this offset."""
    dtype = np.dtype(kind)
    for value in (1, 0, 77):
        scalar = np.array([value], dtype)[0]
        if type(scalar) is not kind:
            return False
        if ctypes.string_at(id(scalar) + offset, dtype.itemsize) != scalar.tobytes():
            return False
    return True


class Python(object):
    """This interpreter as the step loop's table.

    Args:
        bind: er_python_bind.

    Attributes:
        table: the PythonTable.

    Raises:
        UnknownPython: why there can be none.
    """

    def __init__(self, bind):
        if platform.python_implementation() != "CPython":
            raise UnknownPython("it is %s" % platform.python_implementation())
        self.table = table = PythonTable()
        api = Api()
        for field, name in _FUNCTIONS.items():
            setattr(table, field, _required(name))
        for field, names in _SHIMMED.items():
            setattr(api, field, _required(*names))
        api.vectorcall_dict = _address("PyObject_VectorcallDict")
        bind(ctypes.byref(table), ctypes.byref(api))
        self._held = {
            "type_tuple": tuple,
            "type_dict": dict,
            "type_float": float,
            "type_int": int,
            "type_long": type(1 << 80),
            "type_str": str,
            "type_ndarray": np.ndarray,
            "true_": True,
            "false_": False,
            "numpy_true": np.True_,
            "numpy_false": np.False_,
        }
        for field, held in self._held.items():
            setattr(table, field, id(held))
        table.offset_type = _find_type()
        table.offset_tuple_size, table.offset_tuple_items = _find_tuple()
        table.offset_scalar_value = object.__basicsize__
        table.offset_array = _find_array()
        self._scalars = {}

    def has_scalar(self, kind):
        """Whether the values of this type's scalars may be read in place."""
        if kind not in self._scalars:
            self._scalars[kind] = scalar_at(kind, self.table.offset_scalar_value)
        return self._scalars[kind]
