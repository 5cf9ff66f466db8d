/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

static er_bell_t bell;

static void ring(void) { er_bell_ring(&bell); }

static int ring_while_asleep(void) {
    CHECK_EQ(er_bell_ring(&bell), 1); /* the flag was seen */
    return 0;
}

static int ring_and_signal(void) {
    ring_while_asleep();
    return -EINTR;
}

/* Wherever a ring falls into a wait, the wait ends, without its deadline. */
int main(void) {
    er_wait_t policy = {.spin_ns = 100, .yield_every = 4};
    fake.tick = 10;

    /* before the wait */
    uint32_t seen = er_bell_value(&bell);
    ring();
    CHECK_EQ(er_bell_wait(&bell, seen, &policy, ER_FOREVER), 0);
    CHECK_EQ(fake.parks, 0);

    /* during the spin */
    fake.at_yield = ring;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, ER_FOREVER), 0);
    CHECK_EQ(fake.parks, 0);
    CHECK_EQ(policy.spins, 1);
    fake.at_yield = NULL;

    /* between spin and flag: no flag is left behind, nobody has to be woken for nothing */
    policy.spin_ns = 0;
    fake.at_look = ring;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, ER_FOREVER), 0);
    fake.at_look = NULL;
    CHECK_EQ(fake.parks, 0);
    CHECK_EQ(er_load_relaxed(&bell.word) & 1, 0);

    /* after the flag was set, before the kernel compares */
    fake.before_compare = ring;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, ER_FOREVER), 0);
    CHECK_EQ(fake.parks, 1);
    CHECK_EQ(fake.sleeps, 0);
    CHECK_EQ(fake.unparks, 1); /* the ringer could not know that nobody sleeps yet */
    fake.before_compare = NULL;

    /* while asleep */
    fake.asleep = ring_while_asleep;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, ER_FOREVER), 0);
    CHECK_EQ(fake.sleeps, 1);

    /* while asleep, and a signal comes as well: the ring is what counts */
    fake.asleep = ring_and_signal;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, ER_FOREVER), 0);
    CHECK_EQ(fake.sleeps, 2);
    return PASS;
}
