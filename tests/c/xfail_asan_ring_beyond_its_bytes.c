/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "check.h"
#include "er_ring.h"

/* The mistake: a ring is opened over half the bytes it was promised. ASan must see the core write
 * behind them. */
int main(void) {
    er_ring_t shared = {0};
    uint8_t bytes[64] = {0};
    void *data = malloc(32);
    er_ring_view_t view;
    CHECK_EQ(er_ring_open_producer(&view, &shared, data, 64), 0);
    CHECK_EQ(er_ring_write(&view, bytes, 64), 64);
    free(data);
    return PASS;
}
