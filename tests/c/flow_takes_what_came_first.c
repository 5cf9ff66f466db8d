/* SPDX-License-Identifier: MIT */
#include "er_flow.h"
#include "fake_park.h"
#include "rig.h"

static uint32_t send(rig_t *rig, er_flow_t *flow, uint32_t first, uint32_t count) {
    er_command_t command = {.op = ER_OP_EACH, .first = first, .count = count}, got;
    command.seq = er_flow_sequence(flow);
    CHECK_EQ(er_flow_post(flow, 0, 0, &command), 0);
    CHECK_EQ(er_worker_next(&rig->ends[0], &got, fake.now + 1), 0);
    return got.seq;
}

/* Results come in the order in which they were found; marks without a sequence, or with an old one,
 * count for nothing; what is put back is first again. */
int main(void) {
    rig_t rig;
    er_flow_t flow;
    uint32_t wanted[70] = {0}, queue[70], taken[70];
    uint8_t marked[70] = {0};
    rig_open(&rig, RIG_PRIVATE, 70, 1);
    er_flow_open(&flow, &rig.caller, wanted, queue);
    er_flow_begin(&flow);
    uint32_t seq = send(&rig, &flow, 0, 70);
    er_worker_finish_some(&rig.ends[0], seq, 69, 1);
    CHECK_EQ(er_flow_collect(&flow), 1);
    er_worker_finish_some(&rig.ends[0], seq, 2, 2);
    er_worker_finish_some(&rig.ends[0], seq - 1, 5, 1); /* an old result */
    CHECK_EQ(er_flow_collect(&flow), 3);
    er_worker_finish_some(&rig.ends[0], seq, 1, 1);
    CHECK_EQ(er_flow_collect(&flow), 4);
    er_flow_take(&flow, 2, taken);
    CHECK_EQ(taken[0], 69);
    CHECK_EQ(taken[1], 2);
    er_flow_put_back(&flow, 1, taken + 1);

    /* env 69 again: a mark that comes twice counts once */
    seq = send(&rig, &flow, 69, 1);
    er_worker_finish_some(&rig.ends[0], seq, 69, 1);
    er_worker_finish_some(&rig.ends[0], seq, 69, 1);
    CHECK_EQ(er_flow_collect(&flow), 4);
    marked[3] = marked[69] = marked[40] = 1;
    CHECK_EQ(er_flow_take_marked(&flow, marked, taken), 2);
    CHECK_EQ(taken[0], 3);
    CHECK_EQ(taken[1], 69);
    er_flow_take(&flow, 2, taken);
    CHECK_EQ(taken[0], 2);
    CHECK_EQ(taken[1], 1);
    CHECK_EQ(flow.num_busy, 66);
    CHECK_EQ(er_flow_post(&flow, 0, 60, &(er_command_t){.first = 5, .count = 6}), -EINVAL);
    rig_close(&rig);
    return PASS;
}
