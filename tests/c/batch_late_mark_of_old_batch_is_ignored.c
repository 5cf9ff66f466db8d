/* SPDX-License-Identifier: MIT */
#include "er_ready.h"
#include "fake_park.h"
#include "rig.h"

/* A batch is given up (a worker died, a timeout) and the next begins while a worker still finishes
 * the old one: its marks and its count arrive late, and the new batch is complete neither sooner
 * nor without a ring. */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 6, 3);
    er_bell_t *bell = &rig.segment->caller_bell;
    uint32_t old = rig_post(&rig, ER_OP_STEP, 0);
    er_worker_finish(&rig.ends[0], old);
    CHECK_EQ(er_caller_collect(&rig.caller), 4);

    uint32_t now = rig_post(&rig, ER_OP_STEP, 1);
    er_worker_finish(&rig.ends[1], old); /* late */
    CHECK_EQ(er_caller_collect(&rig.caller), 6);
    er_worker_finish(&rig.ends[0], now);
    er_worker_finish(&rig.ends[1], now);
    CHECK_EQ(er_caller_collect(&rig.caller), 2);
    uint32_t before = er_bell_value(bell);
    er_worker_finish(&rig.ends[2], old); /* later still: its count is one too many */
    CHECK_EQ(er_caller_collect(&rig.caller), 2);
    er_worker_finish(&rig.ends[2], now);
    CHECK(er_bell_value(bell) != before); /* a ring too many may be, one too few not */
    CHECK_EQ(er_caller_collect(&rig.caller), 0);

    /* marks that nobody took before the batch began */
    er_ready_mark(er_ready(rig.segment), 0, 6);
    uint32_t next = rig_post(&rig, ER_OP_STEP, 0);
    CHECK_EQ(next, now + 1);
    CHECK_EQ(er_caller_collect(&rig.caller), 6);
    rig_close(&rig);
    return PASS;
}
