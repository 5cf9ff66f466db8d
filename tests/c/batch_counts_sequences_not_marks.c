/* SPDX-License-Identifier: MIT */
#include "er_ready.h"
#include "rig.h"

/* A mark says where to look; whether an env is done, its sequence says; and none is counted twice. */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 130, 2);
    uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
    er_atomic64_t *ready = er_ready(rig.segment);
    er_atomic32_t *env_seq = er_env_seq(rig.segment);

    er_ready_mark(ready, 0, 130); /* marks for nothing */
    CHECK_EQ(er_caller_collect(&rig.caller), 130);

    er_store_release(&env_seq[129], seq);
    CHECK_EQ(er_caller_collect(&rig.caller), 130); /* a fact nobody points at is found later */
    for (int again = 0; again < 3; again++) {
        er_ready_mark(ready, 129, 1);
        CHECK_EQ(er_caller_collect(&rig.caller), 129);
    }
    er_store_release(&env_seq[130], seq); /* envs there are not */
    er_ready_mark(ready, 130, 62);
    CHECK_EQ(er_caller_collect(&rig.caller), 129);

    er_worker_finish(&rig.ends[0], seq);
    CHECK_EQ(er_caller_collect(&rig.caller), 64);
    er_ready_mark(ready, 0, 65);
    CHECK_EQ(er_caller_collect(&rig.caller), 64);
    er_worker_finish(&rig.ends[1], seq); /* env 129 once more among them */
    CHECK_EQ(er_caller_collect(&rig.caller), 0);
    rig_close(&rig);
    return PASS;
}
