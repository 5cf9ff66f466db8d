/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_spread.h"

#include <sched.h>

#define BATCHES_PER_LOOK 2u
#define LOOKS_TO_BE_SURE 2u
#define FIRST_PAUSE 16u
#define LONGEST_PAUSE 16384u
#define LASTING 64u

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

static uint32_t here(void) {
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (uint32_t)cpu + 1;
}

/* Others read it all the time: what has not changed stays in their caches. */
static void tell(er_atomic32_t *word, uint32_t cpu) {
    if (er_load_relaxed(word) != cpu) er_store_relaxed(word, cpu);
}

void er_spread_open(er_spread_t *spread, const er_segment_t *segment) {
    cpu_set_t allowed;
    *spread = (er_spread_t){0};
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return;
    uint32_t cpus = (uint32_t)CPU_COUNT(&allowed);
    spread->from_workers = segment->num_workers > 1 && segment->num_workers <= cpus;
    spread->from_caller = segment->num_workers < cpus;
}

void er_spread_caller(er_segment_t *segment, uint32_t seq) {
    if (seq % BATCHES_PER_LOOK == 0) tell(&segment->caller_place.cpu, here());
}

/* Whether another process is on that CPU, so that this worker should leave it. What it reads may be
 * a batch old: a hint is enough. */
static int has_company(const er_spread_t *spread, const er_segment_t *segment, uint32_t worker,
                       uint32_t cpu) {
    if (spread->from_caller && er_load_relaxed(&segment->caller_place.cpu) == cpu) return 1;
    for (uint32_t w = 0; w < worker; w++) {
        if (er_load_relaxed(&er_worker(segment, w)->place.cpu) == cpu) return 1;
    }
    return 0;
}

void er_spread(er_spread_t *spread, const er_segment_t *segment, uint32_t worker) {
    if (!spread->from_workers && !spread->from_caller) return;
    if (++spread->batches < BATCHES_PER_LOOK) return;
    spread->batches = 0;
    uint32_t cpu = here();
    if (cpu == 0) return;
    tell(&er_worker(segment, worker)->place.cpu, cpu);
    if (spread->rest) {
        spread->rest--;
        return;
    }
    if (!has_company(spread, segment, worker, cpu)) {
        spread->seen = 0;
        /* The kernel balances its queues now and then; that is not a reason to stop moving. */
        if (++spread->alone == LASTING) spread->pause = 0;
        return;
    }
    spread->alone = 0;
    if (++spread->seen < LOOKS_TO_BE_SURE) return;
    spread->seen = 0;
    spread->pause = spread->pause < FIRST_PAUSE ? FIRST_PAUSE : spread->pause * 2;
    if (spread->pause > LONGEST_PAUSE) spread->pause = LONGEST_PAUSE;
    spread->rest = spread->pause;
    leave((int)cpu - 1);
}
