/* SPDX-License-Identifier: MIT
 *
 * Doorbell: an eventcount on one 32-bit word, for any number of ringers and waiters.
 *
 * Overview.  Payload is published elsewhere (a ring's tail, an env's sequence). The bell only
 * answers "did anything happen since I last looked?", and lets a waiter sleep until something did.
 *
 *   waiter                                ringer
 *     seen = er_bell_value(bell)            publish the payload (release)
 *     is the payload there? then go on      er_bell_ring(bell)
 *     er_bell_wait(bell, seen, ...)
 *
 * Why no wake-up is lost.  Sequence and waiter flag share the word. A waiter sleeps only by moving
 * the word from `seen` to `seen | 1` and then asking the kernel to sleep while it is still exactly
 * that. A ringer replaces the whole word by one compare-and-swap: either it comes before the
 * waiter's, and then the waiter's fails, or after, and then it sees the flag and wakes. Keeping the
 * flag in a word of its own loses wake-ups (tests/model/doorbell.pml, BUG_SPLIT_FLAG).
 *
 * Cost.  Ringing is one atomic operation, plus a system call only if the flag is set.
 *
 * Waiting spins first, because waking a process on a halted core takes some 35 us: pauses, every
 * `yield_every`th of them replaced by sched_yield (without which a crowded machine loses nearly
 * all throughput; fewer of them while no other thread wants the core), for `spin_ns` by the clock. It
 * then parks. An adaptive waiter spins for twice what waits took of late, since steps that follow
 * on a policy's thinking come after much the same time; where that is beyond `spin_ns`, it parks at
 * once.
 *
 * A busy machine.  A yield may give the core away for a whole time slice of the scheduler, to a
 * process that does not sleep; a wake-up would have come at once, because who sleeps goes first. So
 * an adaptive waiter whose yield took longer than TOO_LONG_NS stops spinning and parks for the next
 * waits: the more of them, the longer that yield took, and the more often that happens.
 */
#ifndef ER_DOORBELL_H
#define ER_DOORBELL_H

#include "er_format.h"

/* A waiter's policy and experience; private to one thread of one process. */
typedef struct {
    uint32_t spin_ns;     /* the most that one spin takes, by the clock; 0 = park at once */
    uint32_t yield_every; /* pauses between two yields, at least */
    uint32_t adaptive;    /* spin no longer than waits of late make worth it */
    uint32_t mean_ns;     /* running mean of the waits */
    uint32_t lapsed;      /* the last wait ended without a ring: the next one goes on with it */
    uint32_t pauses;      /* between two yields at present: more where yields let no other run */
    uint32_t barred;      /* so many waits to come park at once: a yield took too long */
    uint32_t bar;         /* how many that were the last time */
    uint32_t clean;       /* spins since then that succeeded without such a yield */
    uint32_t strangers;   /* such yields in all: others want this CPU */
    uint64_t spins;       /* waits that ended while spinning */
    uint64_t parks;       /* waits that slept */
    uint64_t spun_ns;     /* spent spinning in all */
} er_wait_t;

/* Begins a policy without experience. Seconds above 0.5 count as 0.5, yield_every 0 as 1. */
void er_wait_open(er_wait_t *wait, double spin_seconds, int adaptive, uint32_t yield_every);

/* The bell's sequence, to be passed to er_bell_wait. */
uint32_t er_bell_value(er_bell_t *bell);

/* Rings. Returns the number of sleepers woken. */
int er_bell_ring(er_bell_t *bell);

/* Waits until the sequence differs from seen. Returns 0, -ETIMEDOUT or -EINTR. */
int er_bell_wait(er_bell_t *bell, uint32_t seen, er_wait_t *policy, int64_t deadline_ns);

#endif
