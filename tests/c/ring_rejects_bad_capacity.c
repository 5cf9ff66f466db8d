/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "check.h"
#include "er_ring.h"

int main(void) {
    er_ring_t shared = {0};
    uint8_t data[64];
    er_ring_view_t view;
    uint64_t bad[] = {0, 3, 48, 63, 65, UINT64_MAX};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(er_ring_open_producer(&view, &shared, data, bad[i]), -EINVAL);
        CHECK_EQ(er_ring_open_consumer(&view, &shared, data, bad[i]), -EINVAL);
    }
    for (uint64_t good = 1; good <= 64; good *= 2) {
        CHECK_EQ(er_ring_open_producer(&view, &shared, data, good), 0);
        CHECK_EQ(er_ring_open_consumer(&view, &shared, data, good), 0);
    }
    return PASS;
}
