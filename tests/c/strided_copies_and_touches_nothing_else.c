/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "er_strided.h"

static uint64_t state = 1;

static intptr_t below(intptr_t n) { return (intptr_t)(next_random(&state) % (uint64_t)n); }

/* A view of an array that was just made: axes in any order, some reversed, some cut short. */
static void run(int nd, const intptr_t *shape, intptr_t size) {
    intptr_t dimensions[4], strides[4], nbytes = size, first = 0;
    int order[4] = {0, 1, 2, 3};
    for (int i = nd - 1; i > 0; i--) {
        int j = (int)below(i + 1), other = order[i];
        order[i] = order[j], order[j] = other;
    }
    for (int i = nd - 1; i >= 0; i--) {
        intptr_t every = below(3) ? 1 : 1 + below(3);
        strides[order[i]] = nbytes * every;
        dimensions[order[i]] = (shape[i] + every - 1) / every;
        nbytes *= shape[i];
    }
    uint8_t *memory = malloc((size_t)nbytes), *data; /* the sanitizer knows its end */
    CHECK(memory);
    for (intptr_t i = 0; i < nbytes; i++) memory[i] = (uint8_t)next_random(&state);
    intptr_t count = 1;
    for (int i = 0; i < nd; i++) {
        count *= dimensions[i];
        if (!below(2)) continue;
        first += (dimensions[i] - 1) * strides[i];
        strides[i] = -strides[i];
    }
    data = memory + first;
    uint8_t *want = malloc((size_t)(count * size)), *got = malloc((size_t)(count * size));
    CHECK(want && got);
    for (intptr_t i = 0; i < count; i++) {
        intptr_t rest = i, at = 0;
        for (int k = nd - 1; k >= 0; k--) {
            at += rest % dimensions[k] * strides[k];
            rest /= dimensions[k];
        }
        memcpy(want + i * size, data + at, (size_t)size);
    }
    er_ndarray_t array = {
        .data = (char *)data, .nd = nd, .dimensions = dimensions, .strides = strides};
    memset(got, 0, (size_t)(count * size));
    CHECK_EQ(er_strided_copy(got, &array, (uint64_t)(count * size)), 1);
    CHECK_EQ(memcmp(got, want, (size_t)(count * size)), 0);
    free(memory);
    free(want);
    free(got);
}

int main(void) {
    static const intptr_t sizes[] = {1, 1, 1, 2, 3, 4, 8, 12, 16, 20};
    for (int round = 0; round < 20000; round++) {
        intptr_t shape[4];
        int nd = 1 + (int)below(4);
        for (int i = 0; i < nd; i++) shape[i] = 1 + below(nd < 3 ? 40 : below(2) ? 5 : 24);
        run(nd, shape, sizes[below(10)]);
    }
    for (int round = 0; round < 20; round++) { /* larger than a tile */
        run(2, (intptr_t[]){70 + below(9), 512}, 1 + below(4));
        run(2, (intptr_t[]){300 + below(9), 30}, 1 + below(4));
        run(3, (intptr_t[]){3 + below(2), 40, 90}, 1);
        run(3, (intptr_t[]){40, 90, 3 + below(2)}, 1);
        run(2, (intptr_t[]){40 + below(30), 3}, 1);
    }
    return PASS;
}
