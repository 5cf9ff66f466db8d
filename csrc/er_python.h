/* SPDX-License-Identifier: MIT
 *
 * Python as the step loop sees it: a table of functions, types and struct offsets.
 *
 * The loop includes no Python.h. `_core` fills the table with the interpreter that it was built for;
 * a foreign worker fills the same table with addresses that ctypes finds. All object pointers are
 * the interpreter's own PyObject*. "New" and "borrowed" mean what they mean in CPython. Python 2 has
 * two types of ints, `int` and `long`; later versions have one, which fills both places.
 */
#ifndef ER_PYTHON_H
#define ER_PYTHON_H

#include <stddef.h>
#include <stdint.h>

typedef struct er_object er_object;

typedef struct {
    void (*incref)(er_object *);
    void (*decref)(er_object *);
    er_object *(*call_one)(er_object *callable, er_object *argument);           /* new */
    er_object *(*call_env)(er_object *callable, long env, er_object *argument); /* new */
    er_object *(*get_item)(er_object *sequence, ptrdiff_t index);               /* new */
    int (*list_set_item)(er_object *list, ptrdiff_t index, er_object *item);    /* steals */
    int (*is_true)(er_object *);                                                /* -1 error */
    double (*as_double)(er_object *);                                           /* of a float */
    int64_t (*as_int64)(er_object *, int *overflow);                            /* of an int */
    er_object *(*from_int64)(int64_t);                                          /* new */
    ptrdiff_t (*dict_size)(er_object *);
    int (*dict_next)(er_object *dict, ptrdiff_t *position, er_object **key, er_object **value);
    er_object *(*dict_get)(er_object *dict, er_object *key); /* borrowed; NULL without an error */
    int (*equal)(er_object *, er_object *);                  /* -1 error */
    void *(*save_thread)(void);                              /* releases the interpreter's lock */
    void (*restore_thread)(void *);

    er_object *type_tuple, *type_dict, *type_float, *type_int, *type_long, *type_str, *type_ndarray;
    er_object *true_, *false_, *numpy_true, *numpy_false;
    size_t offset_type;         /* ob_type */
    size_t offset_tuple_size;   /* ob_size */
    size_t offset_tuple_items;  /* ob_item */
    size_t offset_scalar_value; /* obval of a numpy scalar */
    size_t offset_array;        /* er_ndarray_t of a numpy array */
} er_python_t;

/* Functions of Python that er_python_bind needs; those marked may be NULL. */
typedef struct {
    er_object *(*call_function_obj_args)(er_object *, ...);
    er_object *(*vectorcall_dict)(er_object *, er_object *const *, size_t, er_object *); /* 3.9 */
    er_object *(*int_from_long)(long);
    void (*decref)(er_object *);
    er_object *(*dict_get_item_with_error)(er_object *, er_object *);
    er_object *(*err_occurred)(void); /* borrowed */
    void (*err_clear)(void);
    int (*rich_compare_bool)(er_object *, er_object *, int);
} er_python_api_t;

/* Fills in the functions that no version of Python has under one name and signature: call_one,
 * call_env, from_int64, dict_get and equal. They find what they call in one static table: a process
 * has one interpreter. */
void er_python_bind(er_python_t *py, const er_python_api_t *api);

/* The fields of numpy's array struct behind the object head; the same in numpy 1 and 2. */
typedef struct {
    char *data;
    int nd;
    intptr_t *dimensions;
    intptr_t *strides;
    er_object *base;
    er_object *descr;
    int flags;
} er_ndarray_t;

#define ER_NDARRAY_C_CONTIGUOUS 1
#define ER_NDARRAY_ALIGNED 0x100

static inline er_object *er_type(const er_python_t *py, er_object *o) {
    return *(er_object **)((char *)o + py->offset_type);
}

static inline int er_is_int(const er_python_t *py, er_object *type) {
    return type == py->type_int || type == py->type_long;
}

static inline const er_ndarray_t *er_ndarray(const er_python_t *py, er_object *o) {
    return (const er_ndarray_t *)((char *)o + py->offset_array);
}

static inline ptrdiff_t er_tuple_size(const er_python_t *py, er_object *o) {
    return *(ptrdiff_t *)((char *)o + py->offset_tuple_size);
}

static inline er_object **er_tuple_items(const er_python_t *py, er_object *o) {
    return (er_object **)((char *)o + py->offset_tuple_items);
}

/* Copies an array of exactly this dtype and shape, in C order; past the caches if so wanted (see
 * er_stream.h). Returns 1, or 0 if it is not one. */
int er_array_copy(const er_python_t *py, er_object *o, er_object *dtype, int ndim,
                  const int64_t *shape, uint8_t *to, uint64_t nbytes, int past_caches);

#endif
