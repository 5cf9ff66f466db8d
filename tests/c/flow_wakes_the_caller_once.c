/* SPDX-License-Identifier: MIT */
#include "er_flow.h"
#include "fake_park.h"
#include "rig.h"

/* Whoever finishes the last env that is waited for rings, and nobody else: not before, not after, and
 * not when there were enough before the wait. */
int main(void) {
    rig_t rig;
    er_flow_t flow;
    uint32_t wanted[8] = {0}, queue[8], taken[8];
    rig_open(&rig, RIG_PRIVATE, 8, 2);
    er_flow_open(&flow, &rig.caller, wanted, queue);
    er_flow_begin(&flow);
    er_command_t command = {.op = ER_OP_EACH, .count = 4}, got;
    command.seq = er_flow_sequence(&flow);
    CHECK_EQ(er_flow_post(&flow, 0, 0, &command), 0);
    CHECK_EQ(er_flow_post(&flow, 1, 4, &command), 0);
    CHECK_EQ(flow.num_busy, 8);
    for (uint32_t w = 0; w < 2; w++) {
        CHECK_EQ(er_worker_next(&rig.ends[w], &got, fake.now + 1), 0);
        CHECK_EQ(got.count, 4);
    }

    uint32_t quiet = er_bell_value(&rig.segment->caller_bell);
    er_worker_finish_some(&rig.ends[0], command.seq, 0, 1);
    er_worker_finish_some(&rig.ends[1], command.seq, 2, 1);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), quiet); /* nobody waits */
    CHECK_EQ(er_flow_wait(&flow, 2, fake.now + 1), 0);
    er_flow_take(&flow, 2, taken);
    CHECK_EQ(taken[0], 0);
    CHECK_EQ(taken[1], 6);

    CHECK_EQ(er_flow_wait(&flow, 3, fake.now + 1), -ETIMEDOUT);
    er_worker_finish_some(&rig.ends[1], command.seq, 0, 1);
    er_worker_finish_some(&rig.ends[0], command.seq, 1, 1);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), quiet);
    er_worker_finish_some(&rig.ends[0], command.seq, 2, 1);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), quiet + 2);
    er_worker_finish_some(&rig.ends[0], command.seq, 3, 1);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), quiet + 2);

    /* a run that is published together may pass the mark, and rings once, too */
    CHECK_EQ(er_flow_wait(&flow, 5, fake.now + 1), 1); /* the ring from before */
    er_worker_finish_some(&rig.ends[1], command.seq, 1, 1);
    CHECK_EQ(er_bell_value(&rig.segment->caller_bell), quiet + 4);
    CHECK_EQ(er_flow_wait(&flow, 5, fake.now + 1), 0);
    er_worker_finish_some(&rig.ends[1], command.seq, 3, 1);
    CHECK_EQ(er_flow_wait(&flow, 6, fake.now + 1), 0);
    CHECK_EQ(flow.num_busy, 0);
    rig_close(&rig);
    return PASS;
}
