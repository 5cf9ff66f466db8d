/* SPDX-License-Identifier: MIT
 *
 * Writing one env's observation into its rows of a slot, for spaces of fixed size.
 *
 * A plan is the space's tree in preorder. Whatever does not fit to the letter (another dtype, an
 * array subclass, a dict subclass) is left to the reference implementation in Python.
 */
#ifndef ER_OBS_H
#define ER_OBS_H

#include "er_python.h"

enum { ER_OBS_LEAF, ER_OBS_DICT, ER_OBS_TUPLE };

enum { ER_SCALAR_NONE, ER_SCALAR_SIGNED, ER_SCALAR_UNSIGNED, ER_SCALAR_FLOAT };

typedef struct {
    int kind;          /* ER_OBS_* */
    int num_children;  /* DICT, TUPLE */
    int next;          /* index of the node behind this subtree */
    er_object *key;    /* this node's key in its parent, if that is a DICT */
    er_object *dtype;  /* LEAF: the array dtype object that may be copied */
    er_object *scalar; /* LEAF of no dimension: numpy scalar type that may be copied */
    int scalar_kind;   /* LEAF of no dimension: which Python numbers may be stored */
    int ndim;
    const int64_t *shape;
    uint64_t offset; /* of the leaf's array in its slot */
    uint64_t nbytes; /* of one env's row */
} er_obs_node_t;

/* Where the arrays of a slot are.
 *
 * Slots lie one behind the other, with the arrays of each in it. Slots that follow each other in
 * time share their memory in another way: each array of the first is followed by that of the second
 * and so on, so that an array over time has no gaps. */
typedef struct {
    uint8_t *base;        /* an array at `offset` of its slot begins at base + stretch * offset */
    uint64_t stretch;     /* 1, or how many slots follow each other in time */
    uint64_t first;       /* the row of env 0 in it */
    uint64_t past_caches; /* whether they are too many for the caches */
} er_slot_rows_t;

static inline uint8_t *er_slot_row(const er_slot_rows_t *rows, uint64_t offset, uint64_t env,
                                   uint64_t nbytes) {
    return rows->base + rows->stretch * offset + (rows->first + env) * nbytes;
}

/* Returns 1, or 0 if the observation does not fit the fast path (rows may then be half written). */
int er_obs_write(const er_python_t *py, const er_obs_node_t *nodes, const er_slot_rows_t *slot,
                 uint64_t env, er_object *obs);

#endif
