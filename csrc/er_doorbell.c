/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"

#include <errno.h>

#include "er_park.h"

#define WAITER 1u
#define SEQUENCE_STEP 2u

/* About three times what waking a process takes: so much is worth a try however short waits were. */
#define LEAST_SPIN_NS 100000u

/* A yield that took no longer let no other thread run. Such yields only delay the look at the bell,
 * so they become rarer; where two processes wait for each other, one's would make the next of the
 * other. */
#define TO_NOBODY_NS 1000
#define MOST_PAUSES 256u

/* A waiter whose waits are longer than the whole budget on average does not spin, except in one wait
 * of so many: sleeping itself takes long, so that the mean would never sink. */
#define RETRY_EVERY 64u

/* A yield that took longer gave the core to a stranger for a time slice, some milliseconds. Workers
 * that share a core with the caller take theirs for less, or for so long that a wake-up is cheap
 * beside it. */
#define TOO_LONG_NS 500000

/* What a spin gains over a sleep. After a yield that was too long about as many waits park as spins would
 * make up for it, twice as many each time it recurs; if that many spins came before it, they pay all
 * the same, and it is like the first one. */
#define SPIN_GAINS_NS 30000
#define MOST_BAR 4096u

#define MOST_SPIN_SECONDS 0.5

/* to change a word, before it is taken for one that a hostile worker writes all the time */
#define MOST_TRIES 1024

void er_wait_open(er_wait_t *wait, double spin_seconds, int adaptive, uint32_t yield_every) {
    double seconds = spin_seconds < MOST_SPIN_SECONDS ? spin_seconds : MOST_SPIN_SECONDS;
    *wait = (er_wait_t){
        .spin_ns = (uint32_t)(seconds * 1e9),
        .yield_every = yield_every ? yield_every : 1,
        .adaptive = adaptive != 0,
    };
}

uint32_t er_bell_value(er_bell_t *bell) {
    /* SYNC POINT: bell. Acquire pairs with er_bell_ring: the payload is visible with the sequence. */
    return er_load_acquire(&bell->word) & ~WAITER;
}

int er_bell_ring(er_bell_t *bell) {
    uint32_t old = er_load_relaxed(&bell->word);
    for (int i = 0; i < MOST_TRIES; i++) {
        uint32_t next = (old & ~WAITER) + SEQUENCE_STEP;
        /* SYNC POINT: bell. Release: the payload stored before is visible with the sequence. */
        if (er_cas_acq_rel(&bell->word, &old, next)) {
            return (old & WAITER) ? er_unpark(&bell->word) : 0;
        }
    }
    /* Ringers are few: whoever writes there without end must not hold this one up. */
    /* SYNC POINT: bell. Release: as above. */
    er_store_release(&bell->word, (old & ~WAITER) + SEQUENCE_STEP);
    return er_unpark(&bell->word);
}

static void learn(er_wait_t *policy, int64_t waited_ns) {
    /* One long idle pause must not spoil the mean for long. */
    int64_t most = (int64_t)policy->spin_ns * 2;
    int64_t sample = waited_ns < most ? waited_ns : most;
    int64_t mean = policy->mean_ns;
    policy->mean_ns = (uint32_t)(mean + (sample - mean) / 8);
}

/* A yield took too long: the next waits park. */
static void bar(er_wait_t *policy, int64_t lost_ns) {
    int64_t price = lost_ns / SPIN_GAINS_NS;
    int64_t more = policy->clean < price ? (int64_t)policy->bar * 2 : 0;
    if (more < price) more = price;
    policy->bar = more < MOST_BAR ? (uint32_t)more : MOST_BAR;
    policy->barred = policy->bar;
    policy->clean = 0;
}

/* Spins until the sequence moves on, the budget is spent or a yield took too long. Returns 1 if it
 * moved on. */
static int spin(er_bell_t *bell, uint32_t seen, er_wait_t *policy, int64_t until) {
    for (;;) {
        if (policy->pauses < policy->yield_every) policy->pauses = policy->yield_every;
        for (uint32_t i = 0; i < policy->pauses; i++) {
            if (er_bell_value(bell) != seen) return 1;
            er_pause();
        }
        int64_t now = er_park_now();
        if (now >= until) return 0;
        er_park_yield();
        int64_t yielded = er_park_now() - now;
        if (yielded > TOO_LONG_NS) {
            policy->strangers++;
            if (policy->adaptive) {
                bar(policy, yielded);
                return er_bell_value(bell) != seen;
            }
        }
        if (yielded > TO_NOBODY_NS) {
            policy->pauses = policy->yield_every;
        } else if (policy->pauses < MOST_PAUSES) {
            policy->pauses *= 2;
        }
    }
}

static int sleep_on(er_bell_t *bell, uint32_t seen, int64_t deadline_ns) {
    for (int i = 1;; i++) {
        /* who only moves the flag, without end, must not hold this wait up */
        if (i % MOST_TRIES == 0 && er_park_now() >= deadline_ns) return -ETIMEDOUT;
        /* SYNC POINT: bell */
        uint32_t word = er_load_acquire(&bell->word);
        if ((word & ~WAITER) != seen) return 0;
        if (!(word & WAITER) && !er_cas_acq_rel(&bell->word, &word, word | WAITER)) continue;
        int r = er_park(&bell->word, seen | WAITER, deadline_ns);
        if (er_bell_value(bell) != seen) return 0;
        if (r < 0) return r;
    }
}

/* How long this wait is to spin; 0 = not at all. */
static int64_t budget(er_wait_t *policy) {
    if (!policy->adaptive) return policy->spin_ns;
    if (policy->barred) return 0;
    if (policy->mean_ns >= policy->spin_ns && policy->parks % RETRY_EVERY != 0) return 0;
    int64_t enough = 2 * (int64_t)policy->mean_ns;
    if (enough < LEAST_SPIN_NS) enough = LEAST_SPIN_NS;
    return enough < policy->spin_ns ? enough : policy->spin_ns;
}

int er_bell_wait(er_bell_t *bell, uint32_t seen, er_wait_t *policy, int64_t deadline_ns) {
    uint32_t goes_on = policy->lapsed; /* with a wait that was neither short nor a new one */
    policy->lapsed = 0;
    if (er_bell_value(bell) != seen) return 0;
    int64_t start = er_park_now();
    int64_t until = start + (goes_on ? 0 : budget(policy));
    uint32_t barred = policy->barred;
    if (until > start) {
        int moved = spin(bell, seen, policy, until < deadline_ns ? until : deadline_ns);
        int64_t spun = er_park_now() - start;
        policy->spun_ns += (uint64_t)spun;
        if (moved) {
            if (policy->barred == barred) {
                learn(policy, spun);
                policy->clean++;
            }
            policy->spins++;
            return 0;
        }
    } else if (barred && !goes_on) {
        policy->barred--;
    }
    policy->parks++;
    int r = sleep_on(bell, seen, deadline_ns);
    /* Waits on a busy machine say nothing of what waits take without the others. */
    if (!goes_on && !policy->barred && !barred) learn(policy, er_park_now() - start);
    policy->lapsed = r == -ETIMEDOUT;
    return r;
}
