/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

enum { SLICE = 3840000, ANSWER = 50000, PRICE = 128 };

static er_bell_t bell;
static int64_t ring_at;
static int busy; /* whether a yield costs a time slice */

static void yielded(void) {
    if (busy) fake.now += SLICE;
    if (fake.now >= ring_at) er_bell_ring(&bell);
}

static int rung_while_asleep(void) {
    if (fake.now < ring_at) fake.now = ring_at;
    er_bell_ring(&bell);
    return 0;
}

/* One wait. Returns whether it spun. */
static int wait_spins(er_wait_t *policy) {
    unsigned before = fake.yields;
    ring_at = fake.now + ANSWER;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), policy, ER_FOREVER), 0);
    return fake.yields != before;
}

/* The parks between two tries to spin. */
static int parks_between(er_wait_t *policy) {
    int parks = 0;
    while (!wait_spins(policy)) parks++;
    return parks;
}

/* A yield that gives a time slice away ends the spin and bars others, ever more of them; spins that
 * succeed clear that; and waits meanwhile teach nothing. */
int main(void) {
    er_wait_t policy = {.spin_ns = 1000000, .yield_every = 4, .adaptive = 1};
    fake.tick = 100;
    fake.at_yield = yielded;
    fake.asleep = rung_while_asleep;
    for (int i = 0; i < 20; i++) CHECK(wait_spins(&policy));
    uint32_t mean = policy.mean_ns;

    busy = 1;
    CHECK(wait_spins(&policy));
    for (int bar = PRICE; bar <= 4096; bar *= 2) CHECK_EQ(parks_between(&policy), bar);
    CHECK_EQ(parks_between(&policy), 4096);
    CHECK_EQ(policy.mean_ns, mean);

    /* of 100,000 waits few spin, and each of these yields once */
    unsigned yields = fake.yields;
    for (int i = 0; i < 100000; i++) wait_spins(&policy);
    CHECK(fake.yields - yields <= 25);

    busy = 0;
    parks_between(&policy);
    for (int i = 0; i < PRICE; i++) CHECK(wait_spins(&policy));
    busy = 1;
    CHECK(wait_spins(&policy)); /* the first one after that is like the very first */
    CHECK_EQ(parks_between(&policy), PRICE);

    /* who gives a time to spin gets it */
    er_wait_t stubborn = {.spin_ns = 1000000, .yield_every = 4};
    for (int i = 0; i < 10; i++) CHECK(wait_spins(&stubborn));
    return PASS;
}
