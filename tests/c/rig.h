/* SPDX-License-Identifier: MIT
 *
 * A segment with its caller and all its workers, in one place. Envs are sliced evenly.
 */
#ifndef RIG_H
#define RIG_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "er_batch.h"

#define RIG_WORKERS 8
#define RIG_ENVS 256

typedef struct {
    er_segment_t *segment;
    uint64_t bytes;
    int shared;
    er_caller_t caller;
    er_ring_view_t commands[RIG_WORKERS];
    er_ring_view_t replies[RIG_WORKERS];
    uint64_t counted[RIG_ENVS / 64];
    er_worker_end_t ends[RIG_WORKERS];
} rig_t;

enum { RIG_PRIVATE, RIG_SHARED };

static inline void rig_open(rig_t *rig, int shared, uint32_t num_envs, uint32_t num_workers) {
    er_config_t config = {
        .num_envs = num_envs,
        .num_workers = num_workers,
        .num_slots = 2,
        .command_ring_bytes = 128,
        .reply_ring_bytes = 64,
        .action_bytes = num_envs * sizeof(uint64_t),
        .final_bytes = num_envs * sizeof(uint64_t),
        .slot_bytes = num_envs * sizeof(uint64_t),
        .info_bytes = num_envs * sizeof(uint64_t),
    };
    CHECK(num_envs <= RIG_ENVS && num_workers <= RIG_WORKERS);
    memset(rig, 0, sizeof *rig);
    int64_t bytes = er_segment_bytes(&config);
    CHECK(bytes > 0);
    rig->bytes = (uint64_t)bytes;
    rig->shared = shared;
    if (shared) {
        int fd = memfd_create("envring-test", MFD_CLOEXEC);
        CHECK(fd >= 0);
        CHECK_EQ(ftruncate(fd, bytes), 0);
        rig->segment = mmap(NULL, rig->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        CHECK(rig->segment != MAP_FAILED);
        close(fd);
    } else {
        rig->segment = aligned_alloc(ER_PAGE, rig->bytes); /* the sanitizers know its end */
        CHECK(rig->segment);
        memset(rig->segment, 0, rig->bytes);
    }
    CHECK_EQ(er_segment_format(rig->segment, rig->bytes, &config), 0);
    CHECK_EQ(er_caller_open(&rig->caller, rig->segment, rig->commands, rig->replies, rig->counted),
             0);
    for (uint32_t w = 0; w < num_workers; w++) {
        uint32_t first = num_envs * w / num_workers;
        uint32_t behind = num_envs * (w + 1) / num_workers;
        CHECK_EQ(er_worker_open(&rig->ends[w], rig->segment, w, first, behind - first), 0);
    }
}

static inline void rig_close(rig_t *rig) {
    if (rig->shared) {
        CHECK_EQ(munmap(rig->segment, rig->bytes), 0);
    } else {
        free(rig->segment);
    }
}

/* Begins a batch of all envs and tells every worker. Returns its sequence. */
static inline uint32_t rig_post(rig_t *rig, uint32_t op, uint32_t slot) {
    er_command_t command = {.op = op, .slot = slot};
    command.seq = er_caller_begin(&rig->caller, rig->segment->num_envs);
    for (uint32_t w = 0; w < rig->segment->num_workers; w++) {
        CHECK_EQ(er_caller_post(&rig->caller, w, &command), 0);
    }
    CHECK(er_caller_ring(&rig->caller) >= 0);
    return command.seq;
}

#endif
