/* SPDX-License-Identifier: MIT
 *
 * Both ends of a vector env without Python: envs that multiply. Shared by threads_steps.c and
 * processes_steps.c, which say what a worker is.
 *
 * Results, report and replies are plain memory: only the protocol makes them safe to read.
 */
#ifndef STEPS_H
#define STEPS_H

#include "rig.h"

static inline uint64_t *actions_of(const rig_t *rig) {
    return er_at(rig->segment, rig->segment->off_actions);
}

static inline uint64_t result(uint64_t action, uint32_t env) {
    return action * UINT64_C(0x9e3779b97f4a7c15) + env;
}

/* Most replies are short; a length of 0 means none. */
static inline uint64_t reply_length(uint32_t seq, uint32_t worker) { return (seq + worker) % 60; }

static inline void serve(rig_t *rig, uint32_t worker, uint32_t spin_ns) {
    er_worker_end_t *end = &rig->ends[worker];
    er_report_t *report = &er_worker(rig->segment, worker)->report;
    er_command_t command;
    end->wait = (er_wait_t){.spin_ns = spin_ns, .yield_every = 4, .adaptive = 1};
    for (;;) {
        CHECK_EQ(er_worker_next(end, &command, generous()), 0);
        uint64_t *results = er_slot(rig->segment, command.slot);
        for (uint32_t env = end->first_env; env < end->first_env + end->num_envs; env++) {
            results[env] = result(actions_of(rig)[env], env);
        }
        uint8_t reply[64];
        uint64_t length = reply_length(command.seq, worker);
        memset(reply, (int)(command.seq & 0xff), sizeof reply);
        CHECK_EQ(er_ring_write(&end->replies, reply, length), (int64_t)length);
        report->reply_bytes = length;
        report->hints = command.seq;
        er_worker_finish(end, command.seq);
        if (command.op == ER_OP_MESSAGE) return;
    }
}

static inline void complete(rig_t *rig) {
    int r;
    do {
        r = er_caller_wait(&rig->caller, generous());
        CHECK(r >= 0);
    } while (r);
}

static inline void drive(rig_t *rig, uint32_t batches, uint32_t spin_ns) {
    uint32_t num_envs = rig->segment->num_envs;
    uint64_t random = 5;
    rig->caller.wait = (er_wait_t){.spin_ns = spin_ns, .yield_every = 4, .adaptive = 1};
    for (uint32_t b = 1; b <= batches; b++) {
        uint64_t *actions = actions_of(rig);
        for (uint32_t env = 0; env < num_envs; env++) actions[env] = next_random(&random);
        uint32_t slot = b % 2;
        uint32_t seq = rig_post(rig, b == batches ? ER_OP_MESSAGE : ER_OP_STEP, slot);
        complete(rig);
        const uint64_t *results = er_slot(rig->segment, slot);
        for (uint32_t env = 0; env < num_envs; env++) {
            CHECK(results[env] == result(actions[env], env));
        }
        for (uint32_t w = 0; w < rig->segment->num_workers; w++) {
            const er_report_t *report = &er_worker(rig->segment, w)->report;
            uint8_t reply[64] = {0};
            CHECK_EQ(report->hints, seq);
            CHECK_EQ(report->reply_bytes, reply_length(seq, w));
            CHECK_EQ(er_ring_get(&rig->caller.replies[w], reply, report->reply_bytes), 0);
            for (uint64_t i = 0; i < report->reply_bytes; i++) CHECK_EQ(reply[i], seq & 0xff);
        }
    }
}

#endif
