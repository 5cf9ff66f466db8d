/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>

#include "check.h"
#include "er_doorbell.h"

enum { WAITERS = 4, ROUNDS = 300 };

static er_bell_t bell;
static er_atomic32_t answers;

static void *waiter(void *unused) {
    (void)unused;
    er_wait_t policy = {0};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        CHECK_EQ(er_bell_wait(&bell, 2 * round, &policy, generous()), 0);
        CHECK_EQ(er_bell_value(&bell), 2 * (round + 1));
        er_fetch_sub_acq_rel(&answers, 1);
    }
    return NULL;
}

/* One bell, many waiters: one ring ends all their waits, asleep or on the way there. */
int main(void) {
    pthread_t threads[WAITERS];
    er_store_relaxed(&answers, WAITERS);
    for (int i = 0; i < WAITERS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, waiter, NULL), 0);
    int64_t deadline = generous();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        /* every other round waits until somebody has raised the flag */
        while (round % 2 && !(er_load_relaxed(&bell.word) & 1)) {
            CHECK(er_park_now() < deadline);
            sched_yield();
        }
        er_bell_ring(&bell);
        while (er_load_acquire(&answers)) {
            CHECK(er_park_now() < deadline);
            sched_yield();
        }
        er_store_release(&answers, WAITERS);
    }
    for (int i = 0; i < WAITERS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return PASS;
}
