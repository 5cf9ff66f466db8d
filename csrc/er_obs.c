/* SPDX-License-Identifier: MIT */
#include "er_obs.h"

#include <string.h>

#include "er_stream.h"
#include "er_strided.h"

int er_array_copy(const er_python_t *py, er_object *o, er_object *dtype, int ndim,
                  const int64_t *shape, uint8_t *to, uint64_t nbytes, int past_caches) {
    if (er_type(py, o) != py->type_ndarray) return 0;
    const er_ndarray_t *a = er_ndarray(py, o);
    if (a->descr != dtype || a->nd != ndim) return 0;
    for (int i = 0; i < ndim; i++) {
        if (a->dimensions[i] != shape[i]) return 0;
    }
    if (!(a->flags & ER_NDARRAY_C_CONTIGUOUS)) return er_strided_copy(to, a, nbytes);
    if (past_caches) {
        er_stream_copy(to, (const uint8_t *)a->data, nbytes);
    } else {
        memcpy(to, a->data, nbytes);
    }
    return 1;
}

static int store_integer(uint8_t *row, uint64_t nbytes, int scalar_kind, int64_t value) {
    if (nbytes < 8) {
        int64_t low = 0;
        int64_t high = (INT64_C(1) << (nbytes * 8)) - 1;
        if (scalar_kind == ER_SCALAR_SIGNED) {
            high >>= 1;
            low = -high - 1;
        }
        if (value < low || value > high) return 0;
    } else if (scalar_kind == ER_SCALAR_UNSIGNED && value < 0) {
        return 0;
    }
    uint64_t bits = (uint64_t)value;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bits <<= 64 - nbytes * 8;
#endif
    memcpy(row, &bits, nbytes);
    return 1;
}

/* A number where the space has no dimensions: Discrete, or Box of shape (). */
static int store_scalar(const er_python_t *py, const er_obs_node_t *node, uint8_t *row,
                        er_object *obs) {
    er_object *type = er_type(py, obs);
    if (type == node->scalar) {
        memcpy(row, (char *)obs + py->offset_scalar_value, node->nbytes);
        return 1;
    }
    if (er_is_int(py, type) && node->scalar_kind <= ER_SCALAR_UNSIGNED && node->scalar_kind) {
        int overflow = 0;
        int64_t value = py->as_int64(obs, &overflow);
        return overflow ? 0 : store_integer(row, node->nbytes, node->scalar_kind, value);
    }
    if (type == py->type_float && node->scalar_kind == ER_SCALAR_FLOAT) {
        double value = py->as_double(obs);
        if (node->nbytes == 8) {
            memcpy(row, &value, 8);
            return 1;
        }
        if (node->nbytes == 4) {
            float narrow = (float)value;
            memcpy(row, &narrow, 4);
            return 1;
        }
    }
    return 0;
}

static int write_node(const er_python_t *py, const er_obs_node_t *nodes, int at,
                      const er_slot_rows_t *slot, uint64_t env, er_object *obs) {
    const er_obs_node_t *node = &nodes[at];
    if (node->kind == ER_OBS_LEAF) {
        uint8_t *row = er_slot_row(slot, node->offset, env, node->nbytes);
        if (er_array_copy(py, obs, node->dtype, node->ndim, node->shape, row, node->nbytes,
                          slot->past_caches != 0)) {
            return 1;
        }
        return node->ndim == 0 && store_scalar(py, node, row, obs);
    }
    int child = at + 1;
    if (node->kind == ER_OBS_DICT) {
        if (er_type(py, obs) != py->type_dict) return 0;
        for (int i = 0; i < node->num_children; i++) {
            er_object *value = py->dict_get(obs, nodes[child].key);
            if (!value || !write_node(py, nodes, child, slot, env, value)) return 0;
            child = nodes[child].next;
        }
        return 1;
    }
    if (er_type(py, obs) != py->type_tuple || er_tuple_size(py, obs) != node->num_children)
        return 0;
    er_object **items = er_tuple_items(py, obs);
    for (int i = 0; i < node->num_children; i++) {
        if (!write_node(py, nodes, child, slot, env, items[i])) return 0;
        child = nodes[child].next;
    }
    return 1;
}

int er_obs_write(const er_python_t *py, const er_obs_node_t *nodes, const er_slot_rows_t *slot,
                 uint64_t env, er_object *obs) {
    return write_node(py, nodes, 0, slot, env, obs);
}
