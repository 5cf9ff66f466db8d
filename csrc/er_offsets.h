/* SPDX-License-Identifier: MIT
 *
 * Where this build has the fields of the structs that Python fills in (native/tables.py and
 * native/structs.py of the worker package): a build that has them elsewhere is not used.
 */
#ifndef ER_OFFSETS_H
#define ER_OFFSETS_H

#include <stdint.h>

/* sizeof and every offsetof, struct by struct, in the order of their fields; then the numbers that
 * both sides write down. Stores at most `room` of them and returns how many there are. */
int er_struct_offsets(uint32_t *values, int room);

#endif
