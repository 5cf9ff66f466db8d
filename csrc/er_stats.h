/* SPDX-License-Identifier: MIT
 *
 * Adding to statistics words. Each has one writer, so no atomic addition is needed: a reader may see
 * a value that is a moment old, never half of one.
 */
#ifndef ER_STATS_H
#define ER_STATS_H

#include "er_format.h"

static inline void er_stat_add(er_atomic64_t *word, uint64_t amount) {
    er_store_relaxed(word, er_load_relaxed(word) + amount);
}

static inline void er_stat_set(er_atomic64_t *word, uint64_t value) {
    er_store_relaxed(word, value);
}

#endif
