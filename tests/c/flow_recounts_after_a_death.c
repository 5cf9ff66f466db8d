/* SPDX-License-Identifier: MIT */
#include "er_flow.h"
#include "er_ready.h"
#include "fake_park.h"
#include "rig.h"

#define SLICE 50000000

static rig_t rig;
static er_flow_t flow;
static uint32_t wanted[8], queue[8], taken[8];

static int32_t pending(void) { return (int32_t)er_load_relaxed(&rig.segment->progress.pending); }

/* Everything of er_worker_finish_some but the count. */
static void die_before_the_count(uint32_t seq, uint32_t i) {
    er_store_release(&rig.ends[0].env_seq[i], seq);
    er_ready_mark(rig.ends[0].ready, rig.ends[0].first_env + i, 1);
}

/* A worker dies after it has marked an env and before it has counted it. The waits after that must
 * not end by their deadlines for ever; nor if it was only stopped and counts later. */
int main(void) {
    rig_open(&rig, RIG_PRIVATE, 8, 2);
    er_flow_open(&flow, &rig.caller, wanted, queue);
    er_flow_begin(&flow);
    er_command_t command = {.op = ER_OP_EACH, .count = 4};
    command.seq = er_flow_sequence(&flow);
    CHECK_EQ(er_flow_post(&flow, 0, 0, &command), 0);
    CHECK_EQ(er_flow_post(&flow, 1, 4, &command), 0);

    die_before_the_count(command.seq, 0);
    CHECK_EQ(er_flow_replace(&flow, 0, 0, 4), 0);
    er_worker_finish_some(&rig.ends[1], command.seq, 0, 1);
    CHECK_EQ(er_flow_wait(&flow, 2, fake.now + SLICE), 0);
    CHECK_EQ(pending(), -1); /* two were found, one was counted */
    er_flow_take(&flow, 2, taken);

    /* looks without waiting say nothing: a worker may be just there */
    for (int i = 0; i < 9; i++) CHECK_EQ(er_flow_wait(&flow, 1, fake.now), -ETIMEDOUT);
    CHECK_EQ(pending(), 2);
    CHECK_EQ(er_flow_wait(&flow, 1, fake.now + SLICE), -ETIMEDOUT);
    CHECK_EQ(pending(), 1);

    uint32_t before = er_bell_value(&rig.segment->caller_bell);
    er_worker_finish_some(&rig.ends[1], command.seq, 1, 1);
    CHECK(er_bell_value(&rig.segment->caller_bell) != before);
    CHECK_EQ(er_flow_wait(&flow, 1, fake.now + SLICE), 0);
    er_flow_take(&flow, 1, taken);

    /* who was stopped there goes on after all */
    er_fetch_sub_acq_rel(&rig.segment->progress.pending, 1);
    CHECK_EQ(pending(), -1);
    er_flow_wait(&flow, 1, fake.now + SLICE);
    CHECK_EQ(er_flow_wait(&flow, 1, fake.now + SLICE), -ETIMEDOUT);
    CHECK_EQ(pending(), 1);
    before = er_bell_value(&rig.segment->caller_bell);
    er_worker_finish_some(&rig.ends[1], command.seq, 2, 1);
    CHECK(er_bell_value(&rig.segment->caller_bell) != before);
    CHECK_EQ(er_flow_wait(&flow, 1, fake.now + SLICE), 0);
    rig_close(&rig);
    return PASS;
}
