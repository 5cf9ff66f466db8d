/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "rig.h"

/* An env with a wild pointer can write to the header. The caller read it once, when it opened the
 * segment: it finishes the batch it had begun and touches nothing beyond (ASan's part). */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 70, 2);
    er_segment_t sane = *rig.segment;
    for (int kind = 0; kind < 2; kind++) {
        uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
        for (int w = 0; w < 2; w++) er_worker_finish(&rig.ends[w], seq);
        rig.segment->num_envs = kind ? UINT32_MAX : 1;
        rig.segment->num_workers = UINT32_MAX;
        rig.segment->off_workers = rig.segment->off_env_seq = rig.segment->off_ready =
            kind ? UINT64_MAX / 2 : 1;
        rig.segment->off_command_rings = rig.segment->off_reply_rings = UINT64_MAX / 2;
        rig.segment->command_ring_bytes = rig.segment->reply_ring_bytes = UINT32_MAX;
        CHECK_EQ(er_caller_collect(&rig.caller), 0);
        CHECK_EQ(er_caller_begin(&rig.caller, 70), seq + 1);
        CHECK_EQ(er_caller_collect(&rig.caller), 70);
        rig.ends[1].block->report.reply_bytes = 5;
        CHECK_EQ(er_caller_replace(&rig.caller, 1, 35, 35), 1);
        CHECK_EQ(rig.ends[1].block->report.reply_bytes, 0);
        er_command_t command = {.op = ER_OP_STEP};
        CHECK_EQ(er_caller_post(&rig.caller, 2, &command), -EINVAL);
        CHECK_EQ(er_caller_post(&rig.caller, 1, &command), 0);
        uint8_t reply[64];
        CHECK_EQ(er_ring_read(&rig.caller.replies[0], reply, sizeof reply), 0);
        memcpy(rig.segment, &sane, offsetof(er_segment_t, sealed));
        for (int w = 0; w < 2; w++) {
            while (er_ring_get(&rig.ends[w].commands, &command, sizeof command) == 0) continue;
        }
    }
    rig_close(&rig);
    return PASS;
}
