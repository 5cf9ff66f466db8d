/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "rig.h"

/* After four billion batches the sequence starts again; nobody minds. */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 3, 1);
    rig.caller.seq = UINT32_MAX - 2;
    for (int batch = 0; batch < 5; batch++) {
        uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
        CHECK_EQ(seq, (uint32_t)(UINT32_MAX - 1 + (unsigned)batch));
        er_command_t command;
        CHECK_EQ(er_worker_next(&rig.ends[0], &command, fake.now + 1), 0);
        CHECK_EQ(er_caller_collect(&rig.caller), 3);
        er_worker_finish(&rig.ends[0], command.seq);
        CHECK_EQ(er_caller_wait(&rig.caller, fake.now + 1), 0);
    }
    rig_close(&rig);
    return PASS;
}
