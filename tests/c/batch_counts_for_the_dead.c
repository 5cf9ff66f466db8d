/* SPDX-License-Identifier: MIT */
#include "er_ready.h"
#include "rig.h"

/* A worker dies after it has marked its envs and before it has counted them; the caller has found the
 * marks. The others' last ring must come all the same. */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 9, 3);
    uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
    er_worker_end_t *end = &rig.ends[1];
    for (uint32_t i = 0; i < end->num_envs; i++) er_store_release(&end->env_seq[i], seq);
    er_ready_mark(end->ready, end->first_env, end->num_envs);

    CHECK_EQ(er_caller_collect(&rig.caller), 6);
    CHECK_EQ(er_caller_replace(&rig.caller, 1, end->first_env, end->num_envs), 0);
    CHECK_EQ(er_caller_collect(&rig.caller), 6);

    er_worker_finish(&rig.ends[0], seq);
    uint32_t before = er_bell_value(&rig.segment->caller_bell);
    er_worker_finish(&rig.ends[2], seq);
    CHECK(er_bell_value(&rig.segment->caller_bell) != before);
    CHECK_EQ(er_caller_collect(&rig.caller), 0);
    rig_close(&rig);
    return PASS;
}
