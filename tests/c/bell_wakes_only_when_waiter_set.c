/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

/* A ring is a system call only if somebody sleeps; the flag is spent by it. */
int main(void) {
    er_bell_t bell = {0};
    CHECK_EQ(er_bell_ring(&bell), 0);
    CHECK_EQ(er_bell_ring(&bell), 0);
    CHECK_EQ(fake.unparks, 0);
    CHECK_EQ(er_bell_value(&bell), 4);

    /* the waiter's deadline has passed: it leaves its flag behind */
    er_wait_t policy = {0};
    CHECK_EQ(er_bell_wait(&bell, 4, &policy, 1), -ETIMEDOUT);
    CHECK_EQ(fake.sleeps, 1);
    CHECK(fake.word == &bell.word);
    CHECK_EQ(fake.expected, 4 | 1);
    CHECK_EQ(er_bell_value(&bell), 4); /* the flag is no part of the value */

    CHECK_EQ(er_bell_ring(&bell), 1);
    CHECK_EQ(fake.unparks, 1);
    CHECK_EQ(er_load_relaxed(&bell.word), 6);
    CHECK_EQ(er_bell_ring(&bell), 0);
    CHECK_EQ(fake.unparks, 1);
    return PASS;
}
