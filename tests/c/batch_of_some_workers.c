/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "rig.h"

/* A batch may be for some workers only; the others are woken, find nothing, and sleep on. */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 9, 3);
    er_command_t command = {.op = ER_OP_MESSAGE}, got;
    CHECK_EQ(er_worker_next(&rig.ends[0], &got, fake.now + 1), -ETIMEDOUT);
    command.seq = er_caller_begin(&rig.caller, 3);
    CHECK_EQ(er_caller_post(&rig.caller, 1, &command), 0);
    CHECK_EQ(er_caller_ring(&rig.caller), 1); /* worker 0's flag: it is asleep, for all one knows */

    CHECK_EQ(er_worker_next(&rig.ends[0], &got, fake.now + 1), -ETIMEDOUT);
    CHECK_EQ(er_worker_next(&rig.ends[2], &got, fake.now + 1), -ETIMEDOUT);
    CHECK_EQ(er_worker_next(&rig.ends[1], &got, fake.now + 1), 0);
    CHECK_EQ(got.op, ER_OP_MESSAGE);
    uint32_t quiet = er_bell_value(&rig.segment->caller_bell);
    er_worker_finish(&rig.ends[1], got.seq);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), quiet + 2);
    CHECK_EQ(er_caller_wait(&rig.caller, fake.now + 1), 0);
    rig_close(&rig);
    return PASS;
}
