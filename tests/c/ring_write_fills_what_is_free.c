/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "check.h"
#include "er_ring.h"

/* er_ring_write and er_ring_read move as much as goes, and look at the peer again when short. */
int main(void) {
    er_ring_t shared = {0};
    uint8_t data[8], got[8];
    er_ring_view_t in, out;
    CHECK_EQ(er_ring_open_producer(&in, &shared, data, sizeof data), 0);
    CHECK_EQ(er_ring_open_consumer(&out, &shared, data, sizeof data), 0);
    CHECK_EQ(er_ring_write(&in, "abcdefghijkl", 12), 8);
    CHECK_EQ(er_ring_read(&out, got, 3), 3);
    CHECK_EQ(memcmp(got, "abc", 3), 0);
    CHECK_EQ(er_ring_write(&in, "ijkl", 4), 3);
    CHECK_EQ(er_ring_write(&in, "l", 1), 0);
    CHECK_EQ(er_ring_read(&out, got, 8), 8);
    CHECK_EQ(memcmp(got, "defghijk", 8), 0);
    CHECK_EQ(er_ring_write(&in, "l", 1), 1);
    CHECK_EQ(er_ring_write(&in, NULL, 0), 0);
    CHECK_EQ(er_ring_read(&out, got, 8), 1);
    CHECK_EQ(got[0], 'l');
    return PASS;
}
