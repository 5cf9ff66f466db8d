/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "rig.h"

enum { WORKERS = 4 };

/* A batch costs the caller one ring, from whichever worker is last. */
int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 10, WORKERS); /* slices of 2, 3, 2, 3 */
    er_bell_t *bell = &rig.segment->caller_bell;
    for (uint32_t last = 0; last < WORKERS; last++) {
        uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
        uint32_t quiet = er_bell_value(bell);
        for (uint32_t i = 1; i < WORKERS; i++) {
            er_worker_finish(&rig.ends[(last + i) % WORKERS], seq);
            CHECK_EQ(er_bell_value(bell), quiet);
        }
        CHECK_EQ(er_caller_wait(&rig.caller, fake.now + 1), -ETIMEDOUT);
        unsigned unparks = fake.unparks;
        er_worker_finish(&rig.ends[last], seq);
        CHECK_EQ(er_bell_value(bell), quiet + 2);
        CHECK_EQ(fake.unparks, unparks + 1); /* the wait that timed out left its flag */
        CHECK_EQ(er_caller_wait(&rig.caller, fake.now + 1), 0);
        for (uint32_t w = 0; w < WORKERS; w++) {
            er_command_t command;
            CHECK_EQ(er_worker_next(&rig.ends[w], &command, fake.now + 1), 0);
            CHECK_EQ(command.seq, seq);
        }
    }
    rig_close(&rig);
    return PASS;
}
