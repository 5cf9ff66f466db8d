/* SPDX-License-Identifier: MIT
 *
 * Copying arrays whose elements do not lie one behind the other: flipped, transposed, every second
 * row.
 */
#ifndef ER_STRIDED_H
#define ER_STRIDED_H

#include "er_python.h"

enum { ER_MAX_DIMS = 64 };

/* Writes the array's nbytes in C order. Returns 1, or 0 if it has more than ER_MAX_DIMS dimensions.
 * Aligned memory is not needed. */
int er_strided_copy(uint8_t *to, const er_ndarray_t *array, uint64_t nbytes);

#endif
