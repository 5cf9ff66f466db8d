/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "check.h"
#include "er_doorbell.h"

/* On the real clock: not before the deadline, -ETIMEDOUT at it, at once if it has passed. */
int main(void) {
    er_bell_t bell = {0};
    for (uint32_t spin_ns = 0; spin_ns <= 200000; spin_ns += 100000) {
        er_wait_t policy = {.spin_ns = spin_ns, .yield_every = 4};
        int64_t deadline = deadline_in_ms(20);
        CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, deadline), -ETIMEDOUT);
        CHECK(er_park_now() >= deadline);
        CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, deadline), -ETIMEDOUT);

        /* a bell that was rung is no timeout, even if the deadline has passed */
        uint32_t seen = er_bell_value(&bell);
        er_bell_ring(&bell);
        CHECK_EQ(er_bell_wait(&bell, seen, &policy, deadline), 0);
    }
    return PASS;
}
