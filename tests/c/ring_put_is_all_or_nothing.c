/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "er_ring.h"

int main(void) {
    er_ring_t shared = {0};
    uint8_t data[16] = {0}, before[16];
    er_ring_view_t in, out;
    CHECK_EQ(er_ring_open_producer(&in, &shared, data, sizeof data), 0);
    CHECK_EQ(er_ring_open_consumer(&out, &shared, data, sizeof data), 0);

    CHECK_EQ(er_ring_put(&in, "abcdefghij", 10), 0);
    memcpy(before, data, sizeof data);
    CHECK_EQ(er_ring_put(&in, "0123456", 7), -EAGAIN);
    CHECK_EQ(memcmp(before, data, sizeof data), 0); /* not a byte of it */
    CHECK_EQ(er_load_relaxed(&shared.tail), 10);
    CHECK_EQ(er_ring_put(&in, "012345", 6), 0); /* the ring can be filled to the last byte */
    CHECK_EQ(er_ring_put(&in, "x", 1), -EAGAIN);
    CHECK_EQ(er_ring_write(&in, "x", 1), 0);

    uint8_t got[17] = {0};
    CHECK_EQ(er_ring_get(&out, got, 17), -EAGAIN);
    CHECK_EQ(er_load_relaxed(&shared.head), 0); /* nor was a byte read */
    CHECK_EQ(er_ring_get(&out, got, 16), 0);
    CHECK_EQ(memcmp(got, "abcdefghij012345", 16), 0);
    CHECK_EQ(er_ring_get(&out, got, 1), -EAGAIN);
    CHECK_EQ(er_ring_read(&out, got, 1), 0);
    return PASS;
}
