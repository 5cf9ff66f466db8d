/* SPDX-License-Identifier: MIT
 *
 * What the programs here share: exit codes, checks that say what went wrong, deadlines.
 *
 * One program, one behaviour. State is poked directly wherever a race would otherwise have to be
 * won; every wait has a deadline far beyond what a loaded machine needs.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "er_park.h"

enum { PASS = 0, FAIL = 1, SKIP = 77 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            exit(FAIL);                                                                            \
        }                                                                                          \
    } while (0)

#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (got_ != want_) {                                                                       \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld (%s)\n", __FILE__, __LINE__, #got, got_,  \
                    want_, #want);                                                                 \
            exit(FAIL);                                                                            \
        }                                                                                          \
    } while (0)

static inline int64_t deadline_in_ms(int64_t ms) { return er_park_now() + ms * 1000000; }

/* Never met unless something hangs. */
static inline int64_t generous(void) { return deadline_in_ms(30000); }

/* A deterministic stream of numbers (splitmix64). */
static inline uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
