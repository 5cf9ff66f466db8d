/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>

#include "er_ready.h"
#include "rig.h"

static rig_t rig;

static uint64_t *results(void) { return er_slot(rig.segment, 0); }

static void *finishes(void *unused) {
    (void)unused;
    results()[0] = 1;
    er_worker_finish(&rig.ends[0], 1);
    return NULL;
}

static void *marks_too_early(void *unused) {
    (void)unused;
    er_ready_mark(er_ready(rig.segment), 0, 1);
    results()[0] = 2;
    er_store_release(er_env_seq(rig.segment), 2);
    return NULL;
}

/* Who sees an env's sequence sees its result, without help from marks and bells (TSan's part):
 * first the worker's side of it, then the caller's, with a mark that was left by another batch. */
int main(void) {
    pthread_t thread;
    rig_open(&rig, RIG_PRIVATE, 1, 1);
    er_atomic32_t *env_seq = er_env_seq(rig.segment);
    int64_t deadline = generous();

    CHECK_EQ(rig_post(&rig, ER_OP_STEP, 0), 1);
    CHECK_EQ(pthread_create(&thread, NULL, finishes, NULL), 0);
    while (er_load_acquire(env_seq) != 1) {
        CHECK(er_park_now() < deadline);
        sched_yield();
    }
    CHECK_EQ(results()[0], 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(er_caller_collect(&rig.caller), 0);

    CHECK_EQ(rig_post(&rig, ER_OP_STEP, 0), 2);
    CHECK_EQ(pthread_create(&thread, NULL, marks_too_early, NULL), 0);
    while (er_load_relaxed(env_seq) != 2) { /* relaxed: the acquire has to be the core's */
        CHECK(er_park_now() < deadline);
        sched_yield();
    }
    CHECK_EQ(er_caller_collect(&rig.caller), 0);
    CHECK_EQ(results()[0], 2);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    rig_close(&rig);
    return PASS;
}
