/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

/* Yields that let nobody run become rarer; one that did brings them back. */
int main(void) {
    er_bell_t bell = {0};
    er_wait_t policy = {.spin_ns = 100000, .yield_every = 4};
    fake.tick = 100;
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, fake.now + 1000000), -ETIMEDOUT);
    CHECK(fake.yields > 100);
    CHECK_EQ(policy.pauses, 256);

    fake.tick = 5000;
    policy.lapsed = 0;
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, fake.now + 1000000), -ETIMEDOUT);
    CHECK_EQ(policy.pauses, 4);
    return PASS;
}
