/* SPDX-License-Identifier: MIT */
#define er_ready_mark real_ready_mark
#include "../../csrc/er_ready.c"
#undef er_ready_mark

#include "rig.h"

static rig_t rig;
static int calls;

/* Stands in for the real one: looks at what a caller would find that takes the marks now. */
void er_ready_mark(er_atomic64_t *words, uint32_t first, uint32_t count) {
    calls++;
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(er_load_acquire(&er_env_seq(rig.segment)[first + i]), rig.caller.seq);
    }
    CHECK_EQ(er_load_relaxed(&rig.segment->progress.pending), 70);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), 0);
    real_ready_mark(words, first, count);
}

/* Sequences, then marks, then the count, then the bell. */
int main(void) {
    rig_open(&rig, RIG_PRIVATE, 70, 1);
    uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
    er_worker_finish(&rig.ends[0], seq);
    CHECK_EQ(calls, 1);
    CHECK_EQ(er_load_relaxed(&rig.segment->progress.pending), 0);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), 2);
    CHECK_EQ(er_caller_collect(&rig.caller), 0);
    rig_close(&rig);
    return PASS;
}
