/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "check.h"
#include "er_ring.h"

/* Records of every length start at every place of the ring, also where the positions overflow. */
static void run(uint64_t capacity, uint64_t start) {
    er_ring_t shared = {0};
    er_store_relaxed(&shared.tail, start);
    er_store_relaxed(&shared.head, start);
    uint8_t *data = malloc(capacity); /* the sanitizer knows its end */
    CHECK(data);
    er_ring_view_t in, out;
    CHECK_EQ(er_ring_open_producer(&in, &shared, data, capacity), 0);
    CHECK_EQ(er_ring_open_consumer(&out, &shared, data, capacity), 0);
    uint8_t sent[64], got[64];
    uint8_t next = 0;
    for (unsigned round = 0; round < 2 * capacity; round++) {
        for (uint64_t length = 1; length <= capacity; length++) {
            for (uint64_t i = 0; i < length; i++) sent[i] = next++;
            CHECK_EQ(er_ring_write(&in, sent, length), (int64_t)length);
            CHECK_EQ(er_ring_read(&out, got, capacity), (int64_t)length);
            for (uint64_t i = 0; i < length; i++) CHECK_EQ(got[i], sent[i]);
        }
    }
    CHECK_EQ(er_load_relaxed(&shared.tail), er_load_relaxed(&shared.head));
    free(data);
}

int main(void) {
    for (uint64_t capacity = 1; capacity <= 64; capacity *= 2) {
        run(capacity, 0);
        run(capacity, UINT64_MAX - 3 * capacity);
    }
    return PASS;
}
