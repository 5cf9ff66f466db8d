/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

enum { BUDGET = 100000 };

static er_bell_t bell;
static int64_t nap;
static int64_t ring_at;

static int rung_after_a_nap(void) {
    if (fake.now < ring_at) fake.now = ring_at;
    er_bell_ring(&bell);
    return 0;
}

static void rung_in_time(void) {
    if (fake.now >= ring_at) er_bell_ring(&bell);
}

/* One wait. Returns whether it spun. */
static int wait_spins(er_wait_t *policy) {
    unsigned before = fake.yields;
    ring_at = fake.now + nap;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), policy, ER_FOREVER), 0);
    return fake.yields != before;
}

/* Long waits teach the policy to park at once, short ones to spin again. */
int main(void) {
    er_wait_t policy = {.spin_ns = BUDGET, .yield_every = 4, .adaptive = 1};
    fake.tick = 1000;
    fake.asleep = rung_after_a_nap;
    fake.at_yield = rung_in_time;

    nap = 50 * BUDGET;
    CHECK(wait_spins(&policy)); /* one long wait is no reason to give up */
    for (int i = 0; i < 30; i++) wait_spins(&policy);
    CHECK(!wait_spins(&policy));
    CHECK(policy.mean_ns <= 2 * BUDGET); /* however long they were */

    nap = BUDGET / 2;
    for (int i = 0; i < 30; i++) wait_spins(&policy);
    CHECK(wait_spins(&policy));
    uint64_t parks = policy.parks;
    for (int i = 0; i < 30; i++) wait_spins(&policy);
    CHECK_EQ(policy.parks, parks); /* and the bell is rung while it does */

    /* with a larger budget it spins for twice what waits took, which takes some time to learn */
    policy.spin_ns = 100 * BUDGET;
    nap = 10 * BUDGET;
    wait_spins(&policy);
    CHECK_EQ(policy.parks, parks + 1);
    for (int i = 0; i < 30; i++) wait_spins(&policy);
    parks = policy.parks;
    for (int i = 0; i < 30; i++) CHECK(wait_spins(&policy));
    CHECK_EQ(policy.parks, parks);
    policy.spin_ns = BUDGET;

    /* who says so spins for ever on */
    policy.adaptive = 0;
    nap = 50 * BUDGET;
    for (int i = 0; i < 60; i++) CHECK(wait_spins(&policy));
    return PASS;
}
