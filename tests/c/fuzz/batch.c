/* SPDX-License-Identifier: MIT
 *
 * One property: a caller goes on, within its memory and its documented results, whatever a worker
 * writes into the segment that they share.
 *
 * The input: calls of four bytes: which, two for a place or a number, one for a value.
 */
#include <errno.h>

#include "fake_park.h"
#include "rig.h"

enum { ENVS = 70, WORKERS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t owing(rig_t *rig) {
    uint32_t left = er_caller_collect(&rig->caller);
    CHECK(left <= ENVS);
    return left;
}

static void call(rig_t *rig, uint8_t which, uint32_t number, uint8_t value) {
    er_caller_t *caller = &rig->caller;
    uint32_t worker = number % WORKERS;
    uint32_t first = ENVS * worker / WORKERS, count = ENVS * (worker + 1) / WORKERS - first;
    er_command_t command = {.op = value % 6u, .seq = caller->seq, .slot = number};
    uint8_t reply[100];
    int64_t r;
    switch (which % 8) {
    case 0: /* the worst first: bytes anywhere */
        ((uint8_t *)rig->segment)[number * UINT64_C(7) % rig->bytes] = value;
        return;
    case 1:
        ((uint8_t *)rig->segment)[number % sizeof(er_segment_t)] = value;
        return;
    case 2: /* a batch can be begun when the last one is complete */
        if (owing(rig) == 0) er_caller_begin(caller, number % ENVS + 1);
        return;
    case 3:
        r = er_caller_post(caller, number % (WORKERS + 1), &command);
        CHECK(r == 0 || r == -EINVAL || r == -EAGAIN || r == -EPROTO);
        return;
    case 4:
        r = er_ring_read(&rig->replies[worker], reply, number % sizeof reply);
        CHECK(r == -EPROTO || (r >= 0 && r < (int64_t)sizeof reply));
        return;
    case 5:
        r = er_caller_replace(caller, worker, first, count);
        CHECK(r == 0 || r == 1 || r == -EINVAL);
        return;
    case 6:
        er_caller_excuse(caller, first + value % count, 1);
        return;
    case 7:
        fake.tick = 1;
        r = er_caller_wait(caller, fake.now + value);
        CHECK(r == 0 || r == 1 || r == -ETIMEDOUT || r == -EINTR);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rig_t rig;
    static uint8_t *sane; /* the segment at the beginning */
    if (!sane) {
        rig_open(&rig, RIG_PRIVATE, ENVS, WORKERS);
        sane = malloc(rig.bytes);
        CHECK(sane);
        memcpy(sane, rig.segment, rig.bytes);
    }
    memcpy(rig.segment, sane, rig.bytes);
    memset(rig.counted, 0, sizeof rig.counted);
    CHECK_EQ(er_caller_open(&rig.caller, rig.segment, rig.commands, rig.replies, rig.counted), 0);
    er_caller_begin(&rig.caller, ENVS);
    for (size_t i = 0; i + 4 <= size; i += 4) {
        call(&rig, data[i], data[i + 1] | (uint32_t)data[i + 2] << 8, data[i + 3]);
    }
    owing(&rig);
    return 0;
}
