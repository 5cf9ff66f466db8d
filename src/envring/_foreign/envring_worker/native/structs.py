# SPDX-License-Identifier: MIT
"""The structs of csrc that are filled in from here, as ctypes sees them.

Fields stand in the order of the C headers, which say what they mean. A library that
reports other sizes or offsets than these is not used.
"""

from __future__ import absolute_import, division, print_function

from ctypes import (
    POINTER,
    Structure,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    sizeof,
)

from ..data.preorder import INFO_KINDS, OBS_DICT, OBS_LEAF, OBS_TUPLE, PYTHON_INTS, SCALAR_KINDS

SERVED_COMMAND, SERVED_STEP = 1, 2  # what er_port_serve returns

CACHED_ACTIONS = 256


def _fields(kind, names):
    return [(name, kind) for name in names.split()]


class Api(Structure):
    """er_python_api_t."""

    _fields_ = _fields(
        c_void_p,
        "call_function_obj_args vectorcall_dict int_from_long decref dict_get_item_with_error"
        " err_occurred err_clear rich_compare_bool save_thread restore_thread",
    )


class PythonTable(Structure):
    """er_python_t."""

    _fields_ = _fields(
        c_void_p,
        "incref decref call_one call_env get_item list_set_item is_true as_double as_int64"
        " from_int64 dict_size dict_next dict_get equal"
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


class ObsNode(Structure):
    """er_obs_node_t."""

    _fields_ = (
        _fields(c_int, "kind num_children next")
        + _fields(c_void_p, "key dtype scalar")
        + _fields(c_int, "scalar_kind ndim")
        + [("shape", POINTER(c_int64)), ("offset", c_uint64), ("nbytes", c_uint64)]
    )


class InfoEntry(Structure):
    """er_info_entry_t."""

    _fields_ = (
        _fields(c_int, "kind num_children next")
        + _fields(c_void_p, "key type")
        + [("ndim", c_int)]
        + [("shape", POINTER(c_int64)), ("offset", c_uint64), ("nbytes", c_uint64)]
    )


class InfoTemplate(Structure):
    """er_info_template_t."""

    _fields_ = [("tid", c_uint16), ("num_top", c_int), ("entries", POINTER(InfoEntry))]


class StepLoop(Structure):
    """er_steploop_t."""

    _fields_ = (
        [("py", POINTER(PythonTable)), ("autoreset_mode", c_int)]
        + _fields(c_uint32, "first_env num_envs")
        + [("steps", POINTER(c_void_p)), ("last_obs", c_void_p)]
        + [("pending", c_void_p), ("rewards", POINTER(c_double))]
        + _fields(POINTER(c_uint8), "terminations truncations")
        + _fields(c_void_p, "reset_ended finish_ended store_obs store_info to_result to_reward")
        + _fields(c_void_p, "truncated_key set_slot")
        + [("obs_plan", POINTER(ObsNode)), ("templates", POINTER(InfoTemplate))]
        + [("num_templates", c_int), ("env_template", POINTER(c_int))]
        + _fields(c_void_p, "tids info_area timed stats")
        + [("action_cache", c_void_p * CACHED_ACTIONS)]
        + [("slot", c_void_p), ("slot_number", c_uint32), ("called", c_int)]
        + _fields(c_void_p, "actions int_actions")
        + [("python_ints", c_int), ("at", c_uint32), ("slow_rows", c_uint64)]
        + [("timing", c_int), ("began_ns", c_int64), ("env_ns", c_int64)]
    )


class ForeignLoop(Structure):
    """er_worker_loop_t."""

    _fields_ = [
        ("loop", StepLoop),
        ("slots", c_void_p),
        ("slot_bytes", c_uint64),
        ("final_marks", c_void_p),
    ]
    _fields_ += _fields(c_uint64, "off_rewards off_terminations off_truncations")
    _fields_ += _fields(c_void_p, "actions numbers ints")


class Command(Structure):
    """er_command_t."""

    _fields_ = _fields(c_uint32, "op seq slot action")


_MIRRORED = (
    Api,
    PythonTable,
    Array,
    ObsNode,
    InfoEntry,
    InfoTemplate,
    StepLoop,
    ForeignLoop,
    Command,
)


def layout():
    """Sizes, offsets and kinds as they are known here, in the order of er_struct_offsets."""
    values = []
    for struct in _MIRRORED:
        values.append(sizeof(struct))
        values.extend(getattr(struct, field[0]).offset for field in struct._fields_)
    values += [OBS_LEAF, OBS_DICT, OBS_TUPLE]
    values += [SCALAR_KINDS[kind] for kind in "iuf"]
    values += [INFO_KINDS[kind] for kind in "fibnad"]
    values += [PYTHON_INTS, SERVED_COMMAND, SERVED_STEP]
    return values


def layout_of(library):
    """The same as the library has them."""
    room = library.er_struct_offsets(None, 0)
    values = (c_uint32 * room)()
    library.er_struct_offsets(values, room)
    return list(values)
