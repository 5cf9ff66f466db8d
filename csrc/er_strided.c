/* SPDX-License-Identifier: MIT */
#include "er_strided.h"

#include <string.h>

#if defined(__x86_64__)
#include "er_strided_x86.h"
#endif

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
#if defined(__x86_64__)
            intptr_t done = i ? 0 : er_threes(to + 3, from + step, n - 2, step, reversed);
            i += done, from += done * step, to += 3 * done;
#endif
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

enum { TILE = 64, MANY = 256 };

static intptr_t magnitude(intptr_t n) { return n < 0 ? -n : n; }

/* Rows of a number of columns that the compiler knows. */
INLINE void copy_short_rows(uint8_t *to, const uint8_t *from, axis_t rows, intptr_t columns,
                            intptr_t step, size_t size) {
    for (intptr_t i = 0; i < rows.count; i++, from += rows.step) {
        for (intptr_t j = 0; j < columns; j++, to += size) memcpy(to, from + j * step, size);
    }
}

/* Some columns of all rows, then the next ones: rows find in the cache what the row before them
 * read beside its own, although the columns of a whole row do not fit or displace each other. */
static void copy_tiles(uint8_t *to, const uint8_t *from, axis_t rows, axis_t columns, size_t size) {
    for (intptr_t j = 0; j < columns.count; j += TILE) {
        intptr_t n = columns.count - j < TILE ? columns.count - j : TILE;
        uint8_t *put = to + (size_t)j * size;
        for (intptr_t i = 0; i < rows.count; i++, put += (size_t)columns.count * size) {
            copy_row(put, from + i * rows.step + j * columns.step, n, columns.step, size);
        }
    }
}

static void copy_rows(uint8_t *to, const uint8_t *from, axis_t rows, axis_t columns, size_t size) {
    intptr_t step = columns.step;
    if (size == 1 && columns.count == 3) {
        copy_short_rows(to, from, rows, 3, step, 1);
    } else if (size == 1 && columns.count == 4) {
        copy_short_rows(to, from, rows, 4, step, 1);
    } else if (size == 4 && columns.count == 3) {
        copy_short_rows(to, from, rows, 3, step, 4);
    } else if (size == 4 && columns.count == 4) {
        copy_short_rows(to, from, rows, 4, step, 4);
    } else if (magnitude(rows.step) < TILE && magnitude(step) >= TILE &&
               (columns.count >= MANY || (columns.count > TILE && step % 512 == 0))) {
        copy_tiles(to, from, rows, columns, size);
    } else {
        for (intptr_t i = 0; i < rows.count; i++, from += rows.step) {
            copy_row(to, from, columns.count, step, size);
            to += (size_t)columns.count * size;
        }
    }
}

#if defined(__x86_64__)
/* Bytes, of which those of a column are contiguous: pixels from planes, or blocks of 8 x 8. */
static void copy_transposed(uint8_t *to, const uint8_t *from, axis_t rows, axis_t columns) {
    intptr_t done = 0, width = columns.count, whole = width & ~(intptr_t)7;
    if (width == 3 || width == 4) {
        if (rows.step == 1) done = er_interleave(to, from, rows.count, columns.step, (int)width);
    } else if (whole) {
        for (; done + 8 <= rows.count; done += 8) {
            intptr_t first = rows.step > 0 ? done : done + 7; /* in memory */
            uint8_t *put = to + first * width;
            const uint8_t *at = from + first * rows.step;
            for (intptr_t j = 0; j < whole; j += 8, put += 8, at += 8 * columns.step) {
                er_transpose_8x8(put, rows.step * width, at, columns.step);
            }
        }
        from += whole * columns.step;
        for (intptr_t i = 0; i < done && whole < width; i++) {
            copy_row(to + i * width + whole, from + i * rows.step, width - whole, columns.step, 1);
        }
        from -= whole * columns.step;
    }
    rows.count -= done;
    copy_rows(to + done * width, from + done * rows.step, rows, columns, 1);
}
#endif

typedef struct {
    axis_t axes[ER_MAX_DIMS];
    int num;
    size_t size; /* of the blocks along the last axis */
#if defined(__x86_64__)
    int paired;           /* whether the last axis is part of what is shuffled */
    er_shuffle_t shuffle; /* along the last axis, or the one before */
#endif
} plan_t;

#if defined(__x86_64__)
static void plan_shuffle(plan_t *p) {
    const axis_t *last = &p->axes[p->num - 1];
    intptr_t size = (intptr_t)p->size, offsets[8], num = 0;
    p->shuffle.count = p->paired = 0;
    if (size > 8) return;
    axis_t along = *last, inside = {1, 0};
    if (p->num > 1 && last->count * size <= 8) { /* a pixel's bytes in another order */
        p->paired = 1;
        along = last[-1], inside = *last;
    }
    if (along.count * inside.count * size < 32) return;
    for (intptr_t i = 0; i < inside.count; i++) {
        for (intptr_t k = 0; k < size; k++) offsets[num++] = i * inside.step + k;
    }
    er_shuffle_init(&p->shuffle, along.step, offsets, (int)num);
}

static uint8_t *copy_shuffled(uint8_t *to, const uint8_t *from, const plan_t *p,
                              const axis_t *axes) {
    size_t element = p->size * (p->paired ? (size_t)axes[1].count : 1);
    axis_t rest = axes[0];
    intptr_t done = er_shuffle(&p->shuffle, to, from, rest.count, rest.step, (int)element);
    rest.count -= done;
    from += done * rest.step, to += (size_t)done * element;
    if (p->paired) {
        copy_rows(to, from, rest, axes[1], p->size);
    } else {
        copy_row(to, from, rest.count, rest.step, p->size);
    }
    return to + (size_t)rest.count * element;
}

/* Whether these are the planes of an image whose pixels have three bytes. */
static int is_planes(const plan_t *p) {
    const axis_t *planes = p->axes;
    return p->size == 1 && (p->num == 2 || p->num == 3) && planes->count == 3 &&
           magnitude(planes->step) == 1 && p->axes[p->num - 1].step == 3;
}

static void copy_planes(uint8_t *to, const uint8_t *from, const plan_t *p) {
    axis_t rows = p->num == 3 ? p->axes[1] : (axis_t){1, 0}, columns = p->axes[p->num - 1];
    intptr_t step = p->axes[0].step, plane = rows.count * columns.count;
    uint8_t *planes[3]; /* by the bytes' order in memory */
    for (int k = 0; k < 3; k++) planes[k] = to + (step > 0 ? k : 2 - k) * plane;
    if (step < 0) from -= 2;
    for (intptr_t i = 0; i < rows.count; i++, from += rows.step) {
        intptr_t done = er_planes(planes, from, columns.count);
        for (int k = 0; k < 3; k++) {
            copy_row(planes[k] + done, from + 3 * done + k, columns.count - done, 3, 1);
            planes[k] += columns.count;
        }
    }
}
#endif

/* Copies from an axis on; returns where it stopped writing. */
static uint8_t *copy_axes(uint8_t *to, const uint8_t *from, const plan_t *p, int axis) {
    const axis_t *axes = p->axes + axis;
    int num = p->num - axis;
    int shuffles = 0;
#if defined(__x86_64__)
    shuffles = p->shuffle.count > 0;
    if (shuffles && num == 1 + p->paired) return copy_shuffled(to, from, p, axes);
#endif
    if (num == 1) {
        copy_row(to, from, axes[0].count, axes[0].step, p->size);
        return to + (size_t)axes[0].count * p->size;
    }
    if (num > 2 || shuffles) {
        for (intptr_t i = 0; i < axes[0].count; i++, from += axes[0].step) {
            to = copy_axes(to, from, p, axis + 1);
        }
        return to;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (p->size == 1 && axes[1].count == 3 && axes[1].step == -1) {
        copy_threes(to, from, axes[0].count, axes[0].step, 1);
        return to + 3 * axes[0].count;
    }
#endif
#if defined(__x86_64__)
    if (p->size == 1 && magnitude(axes[0].step) == 1) {
        copy_transposed(to, from, axes[0], axes[1]);
        return to + axes[0].count * axes[1].count;
    }
#endif
    copy_rows(to, from, axes[0], axes[1], p->size);
    return to + (size_t)(axes[0].count * axes[1].count) * p->size;
}

int er_strided_copy(uint8_t *to, const er_ndarray_t *array, uint64_t nbytes) {
    plan_t p;
    int num = 0;
    size_t size = (size_t)nbytes;
    if (array->nd > ER_MAX_DIMS) return 0;
    if (!nbytes) return 1;
    for (int i = 0; i < array->nd; i++) size /= (size_t)array->dimensions[i];
    for (int i = 0; i < array->nd; i++) {
        axis_t axis = {array->dimensions[i], array->strides[i]};
        if (axis.count == 1) continue;
        /* two axes through which one step leads are one */
        if (num && p.axes[num - 1].step == axis.step * axis.count) {
            axis.count *= p.axes[--num].count;
        }
        p.axes[num++] = axis;
    }
    if (num && p.axes[num - 1].step == (intptr_t)size) size *= (size_t)p.axes[--num].count;
    if (!num) {
        memcpy(to, array->data, size);
        return 1;
    }
    p.num = num;
    p.size = size;
#if defined(__x86_64__)
    if (is_planes(&p)) {
        copy_planes(to, (const uint8_t *)array->data, &p);
        return 1;
    }
    plan_shuffle(&p);
#endif
    copy_axes(to, (const uint8_t *)array->data, &p, 0);
    return 1;
}
