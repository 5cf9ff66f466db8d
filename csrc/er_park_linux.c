/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_park.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* No FUTEX_PRIVATE_FLAG anywhere: sleeper and waker are different processes. */

int er_park(er_atomic32_t *word, uint32_t expected, int64_t deadline_ns) {
    struct timespec until;
    struct timespec *timeout = NULL;
    if (deadline_ns != ER_FOREVER) {
        until.tv_sec = (time_t)(deadline_ns / 1000000000);
        until.tv_nsec = (long)(deadline_ns % 1000000000);
        timeout = &until;
    }
    /* WAIT_BITSET because its timeout is absolute: a retry after EINTR does not stretch it */
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, timeout, NULL,
                     FUTEX_BITSET_MATCH_ANY);
    if (r == 0 || errno == EAGAIN) return 0;
    return -errno; /* never -EINTR: a caller that retries on it would spin for ever */
}

int er_unpark(er_atomic32_t *word) {
    long r = syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    return r < 0 ? 0 : (int)r;
}

int64_t er_park_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void er_park_yield(void) { sched_yield(); }
