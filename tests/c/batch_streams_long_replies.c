/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "rig.h"

enum { WORKERS = 2, BATCHES = 200, LONGEST = 3000 };

static rig_t rig;
static uint32_t spin;

static uint64_t length(uint32_t seq, uint32_t w) { return (seq * 137 + w * 1009) % LONGEST; }

static uint8_t byte_at(uint32_t seq, uint32_t w, uint64_t i) { return (uint8_t)(seq + w + i * 7); }

static void *worker(void *number) {
    uint32_t w = (uint32_t)(uintptr_t)number;
    er_worker_end_t *end = &rig.ends[w];
    er_command_t command;
    end->wait = (er_wait_t){.spin_ns = spin, .yield_every = 4};
    for (uint32_t b = 0; b < BATCHES; b++) {
        uint8_t reply[LONGEST];
        CHECK_EQ(er_worker_next(end, &command, generous()), 0);
        uint64_t size = length(command.seq, w);
        for (uint64_t i = 0; i < size; i++) reply[i] = byte_at(command.seq, w, i);
        for (uint64_t at = 0; at < size;) {
            int64_t n = er_ring_write(&end->replies, reply + at, size - at);
            CHECK(n >= 0);
            at += (uint64_t)n;
            if (n == 0) CHECK_EQ(er_worker_stall(end, generous()), 0);
        }
        er_worker(rig.segment, w)->report.reply_bytes = size;
        er_worker_finish(end, command.seq);
    }
    return NULL;
}

static void drain(uint32_t seq, uint64_t *got) {
    for (uint32_t w = 0; w < WORKERS; w++) {
        uint8_t chunk[64];
        int64_t n;
        while ((n = er_ring_read(&rig.caller.replies[w], chunk, sizeof chunk)) > 0) {
            for (int64_t i = 0; i < n; i++) CHECK_EQ(chunk[i], byte_at(seq, w, got[w]++));
        }
        CHECK_EQ(n, 0);
    }
}

/* Replies many times as long as their ring, from all workers at once. No wake-up may be lost: no
 * wait here has another way to end. */
int main(void) {
    for (spin = 0; spin <= 20000; spin += 20000) {
        pthread_t threads[WORKERS];
        rig_open(&rig, RIG_PRIVATE, 4, WORKERS);
        rig.caller.wait = (er_wait_t){.spin_ns = spin, .yield_every = 4};
        for (uintptr_t w = 0; w < WORKERS; w++) {
            CHECK_EQ(pthread_create(&threads[w], NULL, worker, (void *)w), 0);
        }
        for (uint32_t b = 0; b < BATCHES; b++) {
            uint64_t got[WORKERS] = {0};
            uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
            int r;
            while ((r = er_caller_wait(&rig.caller, generous())) == 1) {
                drain(seq, got);
                er_caller_ring(&rig.caller);
            }
            CHECK_EQ(r, 0);
            drain(seq, got);
            for (uint32_t w = 0; w < WORKERS; w++) {
                CHECK_EQ(er_worker(rig.segment, w)->report.reply_bytes, length(seq, w));
                CHECK_EQ(got[w], length(seq, w));
            }
        }
        for (int w = 0; w < WORKERS; w++) CHECK_EQ(pthread_join(threads[w], NULL), 0);
        rig_close(&rig);
    }
    return PASS;
}
