/* SPDX-License-Identifier: MIT */
#include "er_infos.h"

#include <string.h>

/* Keys are nearly always the same interned object; equal strings built at run time are compared. */
static int same_key(const er_python_t *py, er_object *expected, er_object *key) {
    if (expected == key) return 1;
    if (er_type(py, key) != py->type_str || er_type(py, expected) != py->type_str) return 0;
    return py->equal(expected, key) == 1;
}

static int write_dict(const er_python_t *py, const er_info_entry_t *entries, int at, int count,
                      uint8_t *area, uint64_t env, er_object *dict);

static int write_value(const er_python_t *py, const er_info_entry_t *entries, int at, uint8_t *area,
                       uint64_t env, er_object *value) {
    const er_info_entry_t *entry = &entries[at];
    uint8_t *cell = area + entry->offset + env * entry->nbytes;
    er_object *type = er_type(py, value);
    switch (entry->kind) {
    case ER_INFO_FLOAT: {
        if (type != py->type_float) return 0;
        double number = py->as_double(value);
        memcpy(cell, &number, sizeof number);
        return 1;
    }
    case ER_INFO_INT: {
        if (!er_is_int(py, type)) return 0;
        int overflow = 0;
        int64_t number = py->as_int64(value, &overflow);
        memcpy(cell, &number, sizeof number);
        return !overflow;
    }
    case ER_INFO_BOOL:
        *cell = value == py->true_;
        return value == py->true_ || value == py->false_;
    case ER_INFO_SCALAR:
        if (type != entry->type) return 0;
        memcpy(cell, (char *)value + py->offset_scalar_value, entry->nbytes);
        return 1;
    case ER_INFO_ARRAY:
        return er_array_copy(py, value, entry->type, entry->ndim, entry->shape, cell, entry->nbytes,
                             0);
    default:
        if (type != py->type_dict) return 0;
        return write_dict(py, entries, at + 1, entry->num_children, area, env, value);
    }
}

static int write_dict(const er_python_t *py, const er_info_entry_t *entries, int at, int count,
                      uint8_t *area, uint64_t env, er_object *dict) {
    if (py->dict_size(dict) != count) return 0;
    ptrdiff_t position = 0;
    er_object *key, *value;
    for (int i = 0; i < count; i++) {
        if (!py->dict_next(dict, &position, &key, &value)) return 0;
        if (!same_key(py, entries[at].key, key)) return 0;
        if (!write_value(py, entries, at, area, env, value)) return 0;
        at = entries[at].next;
    }
    return 1;
}

int er_info_write(const er_python_t *py, const er_info_template_t *info_template, uint8_t *area,
                  uint64_t env, er_object *info) {
    return write_dict(py, info_template->entries, 0, info_template->num_top, area, env, info);
}
