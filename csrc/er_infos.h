/* SPDX-License-Identifier: MIT
 *
 * Writing one env's info into the columns of a template.
 *
 * A template is an info dict's shape: its keys in order, each with the exact type of its value and
 * the column that holds it. An info that has exactly this shape is stored as raw numbers; any
 * other is left to the reference implementation in Python.
 */
#ifndef ER_INFOS_H
#define ER_INFOS_H

#include "er_python.h"

enum { ER_INFO_FLOAT, ER_INFO_INT, ER_INFO_BOOL, ER_INFO_SCALAR, ER_INFO_ARRAY, ER_INFO_DICT };

typedef struct {
    int kind;         /* ER_INFO_* */
    int num_children; /* DICT: entries that follow, nested ones not counted */
    int next;         /* index of the entry behind this one's subtree */
    er_object *key;
    er_object *type; /* SCALAR: numpy scalar type; ARRAY: dtype */
    int ndim;
    const int64_t *shape;
    uint64_t offset; /* of the column in the info area */
    uint64_t nbytes; /* of one env's value */
} er_info_entry_t;

typedef struct {
    uint16_t template_id;
    int num_top; /* entries of the info dict itself */
    const er_info_entry_t *entries;
} er_info_template_t;

/* Returns 1, or 0 if the info has another shape (columns may then be half written, which is
 * harmless: the env's template id says whether they count). `info` is a dict, exactly. */
int er_info_write(const er_python_t *py, const er_info_template_t *info_template, uint8_t *area,
                  uint64_t env, er_object *info);

#endif
