/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "rig.h"

/* Commands for a worker that does not read them: refused when the ring is full, in order after. */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 2, 1);
    er_command_t command = {.op = ER_OP_STEP}, got;
    CHECK_EQ(er_caller_post(&rig.caller, 1, &command), -EINVAL); /* no such worker */
    uint32_t posted = 0;
    int r;
    for (;; posted++) {
        command.seq = er_caller_begin(&rig.caller, 2);
        r = er_caller_post(&rig.caller, 0, &command);
        if (r) break;
    }
    CHECK_EQ(r, -EAGAIN);
    CHECK_EQ(posted, rig.segment->command_ring_bytes / sizeof command);
    for (uint32_t i = 1; i <= posted; i++) {
        CHECK_EQ(er_worker_next(&rig.ends[0], &got, fake.now + 1), 0);
        CHECK_EQ(got.seq, i);
    }
    CHECK_EQ(er_worker_next(&rig.ends[0], &got, fake.now + 1), -ETIMEDOUT);
    CHECK_EQ(er_caller_post(&rig.caller, 0, &command), 0);

    /* a position that cannot be */
    er_store_relaxed(&er_worker(rig.segment, 0)->commands.tail, 1 << 20);
    CHECK_EQ(er_worker_next(&rig.ends[0], &got, fake.now + 1), -EPROTO);
    rig_close(&rig);
    return PASS;
}
