/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "rig.h"

static rig_t rig;
static uint8_t reply[200];
static uint64_t got;

/* What a caller does when a worker rang before the batch is complete. */
static void drain_and_ring(void) {
    for (int w = 0; w < 2; w++) {
        int64_t n;
        while ((n = er_ring_read(&rig.caller.replies[w], reply, sizeof reply)) > 0) {
            got += (uint64_t)n;
        }
        CHECK_EQ(n, 0);
    }
    CHECK_EQ(er_caller_ring(&rig.caller), 1);
}

/* The worker sleeps in er_worker_stall. The caller has already come back from a wait: it was rung
 * since, and must not sleep. */
static int caller_turns(void) {
    CHECK(fake.word == &rig.segment->command_bell.word);
    CHECK_EQ(er_caller_wait(&rig.caller, ER_FOREVER), 1);
    drain_and_ring();
    return 0;
}

/* A reply ring is full: its worker rings, though the batch is far from complete, and waits on the
 * command bell until the caller has drained. That ring counts wherever the caller is just then:
 * before its wait, or between the drain for an earlier one and its next wait. */
int main(void) {
    rig_open(&rig, RIG_PRIVATE, 4, 2);
    uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
    er_worker_end_t *end = &rig.ends[1];
    er_command_t command;
    CHECK_EQ(er_worker_next(end, &command, ER_FOREVER), 0);
    fake.asleep = caller_turns;
    uint64_t sent = 0;
    while (sent < sizeof reply) {
        int64_t n = er_ring_write(&end->replies, reply, sizeof reply - sent);
        CHECK(n >= 0);
        sent += (uint64_t)n;
        if (n == 0) CHECK_EQ(er_worker_stall(end, ER_FOREVER), 0);
    }
    CHECK_EQ(fake.sleeps, 3); /* 64 + 64 + 64 + 8 bytes */

    er_worker_finish(end, seq);
    er_worker_finish(&rig.ends[0], seq);
    CHECK_EQ(er_caller_wait(&rig.caller, ER_FOREVER), 0);
    while (er_ring_get(&rig.caller.replies[1], reply, 1) == 0) got++;
    CHECK_EQ(got, sizeof reply);
    rig_close(&rig);
    return PASS;
}
