# SPDX-License-Identifier: MIT
"""The structs of csrc that ctypes has to know, beside those of tables.py.

Fields stand in the order of the C headers, which say what they mean.
"""

from __future__ import absolute_import, division, print_function

from ctypes import (
    POINTER,
    Structure,
    c_int,
    c_size_t,
    c_ssize_t,
    c_uint32,
    c_void_p,
    sizeof,
)

from .tables import KNOWN


def _fields(kind, names):
    return [(name, kind) for name in names.split()]


class Api(Structure):
    """er_python_api_t."""

    _fields_ = _fields(
        c_void_p,
        "call_function_obj_args vectorcall_dict int_from_long decref dict_get_item_with_error"
        " err_occurred err_clear rich_compare_bool",
    )


class PythonTable(Structure):
    """er_python_t."""

    _fields_ = _fields(
        c_void_p,
        "incref decref call_one call_env get_item list_set_item is_true as_double as_int64"
        " from_int64 dict_size dict_next dict_get equal save_thread restore_thread"
        " type_tuple type_dict type_float type_int type_long type_str type_ndarray"
        " true_ false_ numpy_true numpy_false",
    ) + _fields(
        c_size_t,
        "offset_type offset_tuple_size offset_tuple_items offset_scalar_value offset_array",
    )


class Array(Structure):
    """er_ndarray_t."""

    _fields_ = [
        ("data", c_void_p),
        ("nd", c_int),
        ("dimensions", POINTER(c_ssize_t)),
        ("strides", POINTER(c_ssize_t)),
        ("base", c_void_p),
        ("descr", c_void_p),
        ("flags", c_int),
    ]


class Command(Structure):
    """er_command_t."""

    _fields_ = _fields(c_uint32, "op seq slot action first count")


def known():
    """What is known here of the library, in the order of er_struct_offsets."""
    values = []
    for struct in (Api, PythonTable, Array, Command):
        values.append(sizeof(struct))
        values.extend(getattr(struct, field[0]).offset for field in struct._fields_)
    return values + KNOWN


def known_of(library):
    """The same as the library has it."""
    room = library.er_struct_offsets(None, 0)
    values = (c_uint32 * room)()
    library.er_struct_offsets(values, room)
    return list(values)
