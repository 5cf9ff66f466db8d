/* SPDX-License-Identifier: MIT
 *
 * Ready bitmap: where to look for finished envs. A bit is a hint, never a count: the fact is the
 * env's sequence word (a worker that dies after marking may be marked again by whoever cleans up).
 */
#ifndef ER_READY_H
#define ER_READY_H

#include "er_format.h"

/* Marks envs first .. first + count - 1. */
void er_ready_mark(er_atomic64_t *words, uint32_t first, uint32_t count);

/* Takes all marks of one word of 64 envs and clears them. */
uint64_t er_ready_take(er_atomic64_t *word);

#endif
