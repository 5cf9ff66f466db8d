/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

/* However many pauses fit, the spin ends when its time is over, or at the deadline. */
int main(void) {
    er_bell_t bell = {0};
    for (uint32_t every = 1; every <= 1000; every *= 10) {
        er_wait_t policy = {.spin_ns = 100000, .yield_every = every};
        fake.tick = 10000;
        fake.yields = fake.parks = 0;
        int64_t start = fake.now;
        CHECK_EQ(er_bell_wait(&bell, 0, &policy, start + 1000000000), -ETIMEDOUT);
        CHECK_EQ(fake.yields,
                 5); /* looks at +10 (start), before and after each: +20 .. +110: over */
        CHECK_EQ(fake.parks, 1);
        CHECK_EQ(policy.parks, 1);
        CHECK_EQ(policy.spins, 0);
    }

    /* a deadline before the budget's end cuts the spin short */
    er_wait_t policy = {.spin_ns = 100000, .yield_every = 4};
    fake.yields = 0;
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, fake.now + 35000), -ETIMEDOUT);
    CHECK_EQ(fake.yields, 1); /* +10 (start), +20 and +30, +40 µs: over */

    /* who waits on after that spins no more */
    fake.yields = 0;
    uint32_t mean = policy.mean_ns;
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, fake.now + 1000000), -ETIMEDOUT);
    CHECK_EQ(fake.yields, 0);
    CHECK_EQ(policy.mean_ns, mean); /* one wait, however often one looks up */

    /* no budget, no spin */
    policy.spin_ns = 0;
    fake.yields = 0;
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, fake.now + 1000000), -ETIMEDOUT);
    CHECK_EQ(fake.yields, 0);
    return PASS;
}
