/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "rig.h"

static rig_t rig;
static unsigned looks;

/* The second look at the clock is the one after the sleep: time is up, but not yet said. */
static void ring_late(void) {
    if (++looks == 2) er_bell_ring(&rig.segment->caller_bell);
}

/* A ring that comes when a wait has just timed out ends the next wait at once: who was told of a
 * timeout has not looked at the replies. */
int main(void) {
    rig_open(&rig, RIG_PRIVATE, 2, 1);
    rig_post(&rig, ER_OP_STEP, 0);
    fake.at_look = ring_late;
    CHECK_EQ(er_caller_wait(&rig.caller, fake.now + 1), -ETIMEDOUT);
    CHECK_EQ(looks, 2);
    CHECK_EQ(fake.sleeps, 1);
    CHECK_EQ(er_caller_wait(&rig.caller, ER_FOREVER), 1);
    CHECK_EQ(fake.sleeps, 1);
    rig_close(&rig);
    return PASS;
}
