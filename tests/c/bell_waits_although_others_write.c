/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

static er_bell_t bell;

static void clear_flag(void) { er_store_relaxed(&bell.word, er_load_relaxed(&bell.word) & ~1u); }

/* Who moves the waiter's flag without end, and nothing else, does not defeat the deadline. */
int main(void) {
    er_wait_t policy = {.spin_ns = 0, .yield_every = 4};
    fake.tick = 10;
    fake.before_compare = clear_flag;
    CHECK_EQ(er_bell_wait(&bell, er_bell_value(&bell), &policy, fake.now + 100), -ETIMEDOUT);
    CHECK(fake.parks > 1);
    CHECK_EQ(fake.sleeps, 0);
    return PASS;
}
