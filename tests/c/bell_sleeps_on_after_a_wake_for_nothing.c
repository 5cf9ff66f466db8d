/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

static er_bell_t bell;

static int third_time_lucky(void) {
    if (fake.sleeps == 3) er_bell_ring(&bell);
    return 0;
}

/* er_park may return 0 for no reason; a flag that is already set is not set again. */
int main(void) {
    er_wait_t policy = {0};
    fake.asleep = third_time_lucky;
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, ER_FOREVER), 0);
    CHECK_EQ(fake.sleeps, 3);
    CHECK_EQ(fake.unparks, 1);
    return PASS;
}
