/* SPDX-License-Identifier: MIT */
#include "er_python.h"

static er_python_api_t python;

#define ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1)) /* PY_VECTORCALL_... */
#define EQUAL 2                                                  /* Py_EQ */

static er_object *call_one_by_vector(er_object *callable, er_object *argument) {
    er_object *stack[2] = {NULL, argument}; /* a bound method puts self into the first */
    return python.vectorcall_dict(callable, stack + 1, 1 | ARGUMENTS_OFFSET, NULL);
}

static er_object *call_one(er_object *callable, er_object *argument) {
    return python.call_function_obj_args(callable, argument, NULL);
}

static er_object *call_env(er_object *callable, long env, er_object *argument) {
    er_object *number = python.int_from_long(env);
    if (!number) return NULL;
    er_object *r = python.call_function_obj_args(callable, number, argument, NULL);
    python.decref(number);
    return r;
}

static er_object *from_int64(int64_t value) { return python.int_from_long((long)value); }

static er_object *dict_get(er_object *dict, er_object *key) {
    er_object *r = python.dict_get_item_with_error(dict, key);
    if (!r && python.err_occurred()) python.err_clear();
    return r;
}

static int equal(er_object *a, er_object *b) { return python.rich_compare_bool(a, b, EQUAL); }

void er_python_bind(er_python_t *py, const er_python_api_t *api) {
    python = *api;
    py->call_one = api->vectorcall_dict ? call_one_by_vector : call_one;
    py->call_env = call_env;
    py->from_int64 = from_int64;
    py->dict_get = dict_get;
    py->equal = equal;
}
