/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "er_ring.h"

enum { CAPACITY = 64 };

/* Whatever the peer's position says, either it can be true or the answer is -EPROTO, and no byte
 * outside the ring is touched (that part is the sanitizer's). */
static void with_peer_at(uint64_t own, uint64_t peer) {
    er_ring_t shared = {0};
    uint8_t *data = malloc(CAPACITY), *bytes = malloc(CAPACITY);
    CHECK(data && bytes);
    memset(data, 0, CAPACITY);
    memset(bytes, 0, CAPACITY);
    er_store_relaxed(&shared.tail, own);
    er_store_relaxed(&shared.head, own);

    er_ring_view_t in, out;
    CHECK_EQ(er_ring_open_producer(&in, &shared, data, CAPACITY), 0);
    CHECK_EQ(er_ring_open_consumer(&out, &shared, data, CAPACITY), 0);
    CHECK_EQ(er_ring_write(&in, bytes, CAPACITY), CAPACITY); /* full: it has to look */

    er_store_relaxed(&shared.head, peer);
    uint64_t used = own + CAPACITY - peer;
    int64_t free_bytes = used > CAPACITY ? -EPROTO : (int64_t)(CAPACITY - used);
    CHECK_EQ(er_ring_write(&in, bytes, CAPACITY), free_bytes);
    if (free_bytes < 0) CHECK_EQ(er_ring_put(&in, bytes, 1), -EPROTO);

    er_store_relaxed(&shared.tail, peer);
    uint64_t there = peer - own;
    int64_t readable = there > CAPACITY ? -EPROTO : (int64_t)there;
    CHECK_EQ(er_ring_read(&out, bytes, CAPACITY), readable);
    if (readable < 0) CHECK_EQ(er_ring_get(&out, bytes, 1), -EPROTO);
    free(data);
    free(bytes);
}

int main(void) {
    uint64_t random = 1;
    uint64_t owns[] = {0, 5, CAPACITY, UINT64_MAX - 10};
    for (unsigned i = 0; i < sizeof owns / sizeof *owns; i++) {
        for (int64_t off = -3 * CAPACITY; off <= 3 * CAPACITY; off++) {
            with_peer_at(owns[i], owns[i] + (uint64_t)off);
        }
        for (int n = 0; n < 1000; n++) with_peer_at(owns[i], next_random(&random));
    }

    /* a ring that is corrupt when it is opened */
    er_ring_t shared = {0};
    uint8_t data[CAPACITY], bytes[CAPACITY];
    er_ring_view_t view;
    er_store_relaxed(&shared.tail, CAPACITY + 1);
    CHECK_EQ(er_ring_open_consumer(&view, &shared, data, CAPACITY), 0);
    CHECK_EQ(er_ring_read(&view, bytes, 1), -EPROTO);
    CHECK_EQ(er_ring_open_producer(&view, &shared, data, CAPACITY), 0);
    CHECK_EQ(er_ring_write(&view, bytes, 1), -EPROTO);
    return PASS;
}
