/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "steps.h"

enum { WORKERS = 3, ENVS = 70, BATCHES = 3000 };

static rig_t rig;
static uint32_t spin;

static void *worker(void *number) {
    serve(&rig, (uint32_t)(uintptr_t)number, spin);
    return NULL;
}

/* Workers as threads: TSan sees both ends. Thousands of batches, parked and spinning. */
int main(void) {
    for (spin = 0; spin <= 20000; spin += 20000) {
        pthread_t threads[WORKERS];
        rig_open(&rig, RIG_PRIVATE, ENVS, WORKERS);
        for (uintptr_t w = 0; w < WORKERS; w++) {
            CHECK_EQ(pthread_create(&threads[w], NULL, worker, (void *)w), 0);
        }
        drive(&rig, BATCHES, spin);
        for (int w = 0; w < WORKERS; w++) CHECK_EQ(pthread_join(threads[w], NULL), 0);
        rig_close(&rig);
    }
    return PASS;
}
