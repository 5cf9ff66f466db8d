/* SPDX-License-Identifier: MIT */
#include "er_strided.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Copies n blocks of a size that the compiler knows; their starts are `step` bytes apart. */
INLINE void copy_blocks(uint8_t *to, const uint8_t *from, intptr_t n, intptr_t step, size_t size) {
    intptr_t i = 0;
    for (; i + 4 <= n; i += 4, from += 4 * step, to += 4 * size) {
        memcpy(to, from, size);
        memcpy(to + size, from + step, size);
        memcpy(to + 2 * size, from + 2 * step, size);
        memcpy(to + 3 * size, from + 3 * step, size);
    }
    for (; i < n; i++, from += step, to += size) memcpy(to, from, size);
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Bytes in reverse order; `from` is the first one, the others lie before it. */
static void reverse_bytes(uint8_t *to, const uint8_t *from, intptr_t n) {
    for (; n >= 8; n -= 8, to += 8, from -= 8) {
        uint64_t word;
        memcpy(&word, from - 7, 8);
        word = __builtin_bswap64(word);
        memcpy(to, &word, 8);
    }
    for (; n > 0; n--) *to++ = *from--;
}

/* Three bytes each, as they are or reversed, by words of four whose last byte the next one
 * replaces. The first and the last, beside which there may be no fourth byte, by bytes. */
INLINE void copy_threes(uint8_t *to, const uint8_t *from, intptr_t n, intptr_t step, int reversed) {
    for (intptr_t i = 0; i < n; i++, from += step, to += 3) {
        if (i == 0 || i == n - 1) {
            for (int k = 0; k < 3; k++) to[k] = reversed ? from[-k] : from[k];
            continue;
        }
        uint32_t word;
        memcpy(&word, reversed ? from - 2 : from, 4);
        if (reversed) word = __builtin_bswap32(word) >> 8;
        memcpy(to, &word, 4);
    }
}
#endif

/* n blocks whose starts are `step` bytes apart. */
static void copy_row(uint8_t *to, const uint8_t *from, intptr_t n, intptr_t step, size_t size) {
    switch (size) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    case 1:
        if (step == -1) {
            reverse_bytes(to, from, n);
            return;
        }
        copy_blocks(to, from, n, step, 1);
        return;
    case 3:
        copy_threes(to, from, n, step, 0);
        return;
#else
    case 1:
        copy_blocks(to, from, n, step, 1);
        return;
    case 3:
        copy_blocks(to, from, n, step, 3);
        return;
#endif
    case 2:
        copy_blocks(to, from, n, step, 2);
        return;
    case 4:
        copy_blocks(to, from, n, step, 4);
        return;
    case 6:
        copy_blocks(to, from, n, step, 6);
        return;
    case 8:
        copy_blocks(to, from, n, step, 8);
        return;
    case 12:
        copy_blocks(to, from, n, step, 12);
        return;
    case 16:
        copy_blocks(to, from, n, step, 16);
        return;
    default:
        for (intptr_t i = 0; i < n; i++, from += step, to += size) memcpy(to, from, size);
    }
}

typedef struct {
    intptr_t count;
    intptr_t step;
} axis_t;

static uint8_t *copy_axes(uint8_t *to, const uint8_t *from, const axis_t *axes, int num,
                          size_t size) {
    if (num == 1) {
        copy_row(to, from, axes[0].count, axes[0].step, size);
        return to + (size_t)axes[0].count * size;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (num == 2 && size == 1 && axes[1].count == 3 && axes[1].step == -1) {
        copy_threes(to, from, axes[0].count, axes[0].step, 1);
        return to + 3 * axes[0].count;
    }
#endif
    for (intptr_t i = 0; i < axes[0].count; i++, from += axes[0].step) {
        to = copy_axes(to, from, axes + 1, num - 1, size);
    }
    return to;
}

int er_strided_copy(uint8_t *to, const er_ndarray_t *array, uint64_t nbytes) {
    axis_t axes[ER_MAX_DIMS];
    int num = 0;
    size_t size = (size_t)nbytes;
    if (array->nd > ER_MAX_DIMS) return 0;
    if (!nbytes) return 1;
    for (int i = 0; i < array->nd; i++) size /= (size_t)array->dimensions[i];
    for (int i = 0; i < array->nd; i++) {
        axis_t axis = {array->dimensions[i], array->strides[i]};
        if (axis.count == 1) continue;
        /* two axes through which one step leads are one */
        if (num && axes[num - 1].step == axis.step * axis.count) {
            axis.count *= axes[--num].count;
        }
        axes[num++] = axis;
    }
    if (num && axes[num - 1].step == (intptr_t)size) size *= (size_t)axes[--num].count;
    if (num) {
        copy_axes(to, (const uint8_t *)array->data, axes, num, size);
    } else {
        memcpy(to, array->data, size);
    }
    return 1;
}
