/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "rig.h"

static rig_t rig;

static void *worker(void *unused) {
    (void)unused;
    er_command_t command;
    CHECK_EQ(er_worker_next(&rig.ends[0], &command, generous()), 0);
    *(uint64_t *)er_slot(rig.segment, 0) = 1;
    er_worker_finish(&rig.ends[0], command.seq);
    return NULL;
}

/* The mistake: the result is read because its sequence was seen, but seen without acquire. */
int main(void) {
    pthread_t thread;
    rig_open(&rig, RIG_PRIVATE, 1, 1);
    CHECK_EQ(pthread_create(&thread, NULL, worker, NULL), 0);
    uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
    while (er_load_relaxed(er_env_seq(rig.segment)) != seq) er_park_yield();
    uint64_t got = *(volatile uint64_t *)er_slot(rig.segment, 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(got, 1);
    rig_close(&rig);
    return PASS;
}
