/* SPDX-License-Identifier: MIT
 *
 * Formatting a segment, checking one, finding things in it.
 */
#ifndef ER_SEGMENT_H
#define ER_SEGMENT_H

#include "er_format.h"

typedef struct {
    uint32_t num_envs;
    uint32_t num_workers;
    uint32_t num_slots;          /* the most there will ever be */
    uint32_t command_ring_bytes; /* power of two */
    uint32_t reply_ring_bytes;   /* power of two */
    uint64_t action_bytes;
    uint64_t final_bytes;
    uint64_t slot_bytes;
    uint64_t info_bytes; /* the most there will ever be */
} er_config_t;

/* Bytes a segment of this configuration takes, or -EINVAL. */
int64_t er_segment_bytes(const er_config_t *config);

/* Formats `bytes` zeroed bytes at base; the seal is stored last. 0 or -EINVAL. */
int er_segment_format(void *base, uint64_t bytes, const er_config_t *config);

/* Is this a whole segment of our version? 0, or
 * -EBADMSG  not a segment at all         -EAGAIN  not sealed yet
 * -EPROTO   another version (see abi)    -ERANGE  offsets that do not fit the mapping */
int er_segment_check(const void *base, uint64_t bytes);

/* ER_ABI, for programs that have the library without its headers. */
uint32_t er_segment_abi(void);

static inline void *er_at(const er_segment_t *segment, uint64_t offset) {
    return (uint8_t *)(uintptr_t)segment + offset;
}

static inline er_worker_t *er_worker(const er_segment_t *segment, uint32_t worker) {
    return (er_worker_t *)er_at(segment, segment->off_workers) + worker;
}

static inline er_atomic32_t *er_env_seq(const er_segment_t *segment) {
    return er_at(segment, segment->off_env_seq);
}

static inline er_atomic64_t *er_ready(const er_segment_t *segment) {
    return er_at(segment, segment->off_ready);
}

static inline void *er_slot(const er_segment_t *segment, uint32_t slot) {
    return er_at(segment, segment->off_slots + (uint64_t)slot * segment->slot_bytes);
}

static inline void *er_command_data(const er_segment_t *segment, uint32_t worker) {
    return er_at(segment,
                 segment->off_command_rings + (uint64_t)worker * segment->command_ring_bytes);
}

static inline void *er_reply_data(const er_segment_t *segment, uint32_t worker) {
    return er_at(segment, segment->off_reply_rings + (uint64_t)worker * segment->reply_ring_bytes);
}

#endif
