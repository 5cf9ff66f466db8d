/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "er_ring.h"

/* A producer that was killed while writing has written nothing; who opens after it goes on there. */
int main(void) {
    er_ring_t shared = {0};
    uint8_t data[16], got[16];
    er_ring_view_t killed, in, out;
    CHECK_EQ(er_ring_open_producer(&killed, &shared, data, sizeof data), 0);
    CHECK_EQ(er_ring_open_consumer(&out, &shared, data, sizeof data), 0);
    CHECK_EQ(er_ring_put(&killed, "whole", 5), 0);
    memcpy(data + 5, "half", 4); /* no commit */

    CHECK_EQ(er_ring_read(&out, got, sizeof got), 5);
    CHECK_EQ(memcmp(got, "whole", 5), 0);
    CHECK_EQ(er_ring_read(&out, got, sizeof got), 0);

    CHECK_EQ(er_ring_open_producer(&in, &shared, data, sizeof data), 0);
    CHECK_EQ(er_ring_put(&in, "fresh", 5), 0);
    CHECK_EQ(er_ring_get(&out, got, 5), 0);
    CHECK_EQ(memcmp(got, "fresh", 5), 0);

    /* the same for a consumer: what it had not released it reads again */
    er_ring_view_t again;
    CHECK_EQ(er_ring_put(&in, "record", 6), 0);
    CHECK_EQ(er_ring_open_consumer(&again, &shared, data, sizeof data), 0);
    CHECK_EQ(er_ring_get(&again, got, 6), 0);
    CHECK_EQ(memcmp(got, "record", 6), 0);
    return PASS;
}
