/* SPDX-License-Identifier: MIT
 *
 * A Python of a few types, whose references are counted: for the step loop.
 *
 * `fake_alive` is the number of references that somebody owes. Types, flags and functions are not
 * counted.
 */
#ifndef FAKE_PYTHON_H
#define FAKE_PYTHON_H

#include <stddef.h>
#include <string.h>

#include "check.h"
#include "er_python.h"

typedef struct fake fake_t;
typedef fake_t *(*fake_call_t)(fake_t *self, long env, fake_t *argument);

struct fake {
    long refs;
    fake_t *type;
    ptrdiff_t size; /* of a tuple, or entries of a dict */
    union {
        double number;
        int64_t integer;
        char text[16];
        fake_call_t call;
        er_ndarray_t array;
        fake_t *items[12]; /* of a dict: key, value, key, value */
    } u;
};

static fake_t fake_tuple_type, fake_dict_type, fake_float_type, fake_int_type, fake_long_type;
static fake_t fake_str_type, fake_array_type, fake_scalar_type, fake_function_type, fake_bool_type;
static fake_t fake_true = {.type = &fake_bool_type}, fake_false = {.type = &fake_bool_type};
static fake_t fake_none, fake_dtype;
static long fake_alive;
static int fake_error; /* whether an exception is set */

static inline int fake_is_counted(const fake_t *o) {
    return o->type && o->type != &fake_bool_type && o->type != &fake_function_type;
}

static inline fake_t *fake_keep(fake_t *o) {
    if (fake_is_counted(o)) {
        o->refs++;
        fake_alive++;
    }
    return o;
}

static inline void fake_drop(fake_t *o) {
    if (!fake_is_counted(o)) return;
    CHECK(o->refs > 0);
    fake_alive--;
    if (--o->refs) return;
    ptrdiff_t items = o->type == &fake_tuple_type ? o->size : 0;
    if (o->type == &fake_dict_type) items = o->size * 2;
    for (ptrdiff_t i = 0; i < items; i++) fake_drop(o->u.items[i]);
    free(o);
}

static inline fake_t *fake_new(fake_t *type) {
    fake_t *o = calloc(1, sizeof *o);
    CHECK(o);
    o->type = type;
    return fake_keep(o);
}

static inline fake_t *fake_float(double number) {
    fake_t *o = fake_new(&fake_float_type);
    o->u.number = number;
    return o;
}

static inline fake_t *fake_int(fake_t *type, int64_t integer) {
    fake_t *o = fake_new(type);
    o->u.integer = integer;
    return o;
}

static inline fake_t *fake_str(const char *text) {
    fake_t *o = fake_new(&fake_str_type);
    strcpy(o->u.text, text);
    return o;
}

static inline fake_t *fake_array(float *data, intptr_t *shape) {
    fake_t *o = fake_new(&fake_array_type);
    o->u.array.data = (char *)data;
    o->u.array.nd = 1;
    o->u.array.dimensions = shape;
    o->u.array.descr = (er_object *)&fake_dtype;
    o->u.array.flags = ER_NDARRAY_C_CONTIGUOUS;
    return o;
}

/* Of `size` items (a dict: entries), whose references it takes over. */
static inline fake_t *fake_holding(fake_t *type, ptrdiff_t size, fake_t *const *items) {
    fake_t *o = fake_new(type);
    o->size = size;
    size_t count = (size_t)(type == &fake_dict_type ? size * 2 : size);
    CHECK(count <= 12);
    for (size_t i = 0; i < count; i++) o->u.items[i] = items[i];
    return o;
}

#define FAKE_TUPLE(...)                                                                            \
    fake_holding(&fake_tuple_type,                                                                 \
                 (ptrdiff_t)(sizeof((fake_t *[]){__VA_ARGS__}) / sizeof(fake_t *)),                \
                 (fake_t *[]){__VA_ARGS__})
#define FAKE_DICT(...)                                                                             \
    fake_holding(&fake_dict_type,                                                                  \
                 (ptrdiff_t)(sizeof((fake_t *[]){__VA_ARGS__}) / sizeof(fake_t *) / 2),            \
                 (fake_t *[]){__VA_ARGS__})

static inline fake_t fake_function(fake_call_t call) {
    return (fake_t){.type = &fake_function_type, .u.call = call};
}

/* -- the table -------------------------------------------------------------------------------- */

static inline void fake_incref_(er_object *o) { fake_keep((fake_t *)o); }

static inline void fake_decref_(er_object *o) { fake_drop((fake_t *)o); }

static inline er_object *fake_call_env_(er_object *callable, long env, er_object *argument) {
    fake_t *f = (fake_t *)callable;
    CHECK(f->type == &fake_function_type);
    CHECK(!fake_error);
    return (er_object *)f->u.call(f, env, (fake_t *)argument);
}

static inline er_object *fake_call_one_(er_object *callable, er_object *argument) {
    return fake_call_env_(callable, -1, argument);
}

static inline er_object *fake_get_item_(er_object *sequence, ptrdiff_t index) {
    (void)sequence;
    return (er_object *)fake_int(&fake_scalar_type, index);
}

static inline int fake_list_set_item_(er_object *list, ptrdiff_t index, er_object *item) {
    fake_t **at = &((fake_t *)list)->u.items[index];
    if (*at) fake_drop(*at);
    *at = (fake_t *)item;
    return 0;
}

static inline int fake_is_true_(er_object *o) {
    fake_t *flag = (fake_t *)o;
    fake_error = flag->type == &fake_float_type; /* one that has no truth */
    return fake_error ? -1 : flag->u.integer != 0;
}

static inline double fake_as_double_(er_object *o) { return ((fake_t *)o)->u.number; }

static inline int64_t fake_as_int64_(er_object *o, int *overflow) {
    *overflow = 0;
    return ((fake_t *)o)->u.integer;
}

static inline er_object *fake_from_int64_(int64_t value) {
    return (er_object *)fake_int(&fake_int_type, value);
}

static inline ptrdiff_t fake_dict_size_(er_object *o) { return ((fake_t *)o)->size; }

static inline int fake_dict_next_(er_object *o, ptrdiff_t *at, er_object **key, er_object **value) {
    fake_t *dict = (fake_t *)o;
    if (*at >= dict->size) return 0;
    *key = (er_object *)dict->u.items[*at * 2];
    *value = (er_object *)dict->u.items[*at * 2 + 1];
    ++*at;
    return 1;
}

static inline int fake_equal_(er_object *a, er_object *b) {
    return strcmp(((fake_t *)a)->u.text, ((fake_t *)b)->u.text) == 0;
}

static inline er_object *fake_dict_get_(er_object *o, er_object *key) {
    fake_t *dict = (fake_t *)o;
    for (ptrdiff_t i = 0; i < dict->size; i++) {
        if (fake_equal_((er_object *)dict->u.items[i * 2], key)) {
            return (er_object *)dict->u.items[i * 2 + 1];
        }
    }
    return NULL;
}

static inline er_python_t fake_python(void) {
    return (er_python_t){
        .incref = fake_incref_,
        .decref = fake_decref_,
        .call_one = fake_call_one_,
        .call_env = fake_call_env_,
        .get_item = fake_get_item_,
        .list_set_item = fake_list_set_item_,
        .is_true = fake_is_true_,
        .as_double = fake_as_double_,
        .as_int64 = fake_as_int64_,
        .from_int64 = fake_from_int64_,
        .dict_size = fake_dict_size_,
        .dict_next = fake_dict_next_,
        .dict_get = fake_dict_get_,
        .equal = fake_equal_,
        .type_tuple = (er_object *)&fake_tuple_type,
        .type_dict = (er_object *)&fake_dict_type,
        .type_float = (er_object *)&fake_float_type,
        .type_int = (er_object *)&fake_int_type,
        .type_long = (er_object *)&fake_long_type,
        .type_str = (er_object *)&fake_str_type,
        .type_ndarray = (er_object *)&fake_array_type,
        .true_ = (er_object *)&fake_true,
        .false_ = (er_object *)&fake_false,
        .offset_type = offsetof(fake_t, type),
        .offset_tuple_size = offsetof(fake_t, size),
        .offset_tuple_items = offsetof(fake_t, u),
        .offset_scalar_value = offsetof(fake_t, u),
        .offset_array = offsetof(fake_t, u),
    };
}

#endif
