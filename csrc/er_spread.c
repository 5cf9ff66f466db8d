/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_spread.h"

#include <sched.h>

#define BATCHES_PER_LOOK 8u
#define LOOKS_TO_BE_SURE 2u
#define FIRST_PAUSE 16u
#define LONGEST_PAUSE 4096u
#define ALONE_TO_TRUST 64u

/* Forbids this thread a CPU and allows it again: returns with the thread on another one. */
static void leave(int cpu) {
    cpu_set_t allowed;
    cpu_set_t others;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return;
    others = allowed;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) == 0) return;
    if (sched_setaffinity(0, sizeof others, &others) == 0) {
        sched_setaffinity(0, sizeof allowed, &allowed);
    }
}

void er_spread(er_spread_t *spread, const er_segment_t *segment, uint32_t worker) {
    if (++spread->batches < BATCHES_PER_LOOK) return;
    spread->batches = 0;
    int cpu = sched_getcpu();
    if (cpu < 0) return;
    er_store_relaxed(&er_worker(segment, worker)->report.cpu, (uint32_t)cpu + 1);
    if (spread->rest) {
        spread->rest--;
        return;
    }
    int company = 0;
    for (uint32_t w = 0; w < worker && !company; w++) {
        /* may be a batch old: a hint is all that is needed */
        company = er_load_relaxed(&er_worker(segment, w)->report.cpu) == (uint32_t)cpu + 1;
    }
    if (!company) {
        spread->seen = 0;
        if (++spread->alone % ALONE_TO_TRUST == 0) spread->pause /= 2;
        return;
    }
    spread->alone = 0;
    if (++spread->seen < LOOKS_TO_BE_SURE) return;
    spread->seen = 0;
    spread->pause = spread->pause < FIRST_PAUSE ? FIRST_PAUSE : spread->pause * 2;
    if (spread->pause > LONGEST_PAUSE) spread->pause = LONGEST_PAUSE;
    spread->rest = spread->pause;
    leave(cpu);
}
