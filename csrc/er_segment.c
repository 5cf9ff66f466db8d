/* SPDX-License-Identifier: MIT */
#include "er_segment.h"

#include <errno.h>
#include <string.h>

#define MAX_BYTES (UINT64_C(1) << 46) /* sums of fewer than 16 regions cannot overflow */

static uint64_t align(uint64_t value, uint64_t to) { return (value + to - 1) & ~(to - 1); }

static int is_power_of_two(uint64_t value) { return value && !(value & (value - 1)); }

/* Fills in everything but the seal. */
static int plan(er_segment_t *s, const er_config_t *c) {
    if (c->num_envs == 0 || c->num_envs > ER_MAX_ENVS) return -EINVAL;
    if (c->num_workers == 0 || c->num_workers > ER_MAX_WORKERS) return -EINVAL;
    if (c->num_slots == 0 || c->num_slots > ER_MAX_SLOTS) return -EINVAL;
    if (!is_power_of_two(c->command_ring_bytes) || c->command_ring_bytes < sizeof(er_command_t)) {
        return -EINVAL;
    }
    if (!is_power_of_two(c->reply_ring_bytes)) return -EINVAL;
    if (c->action_bytes > MAX_BYTES || c->final_bytes > MAX_BYTES || c->info_bytes > MAX_BYTES) {
        return -EINVAL;
    }
    if (c->slot_bytes > MAX_BYTES || align(c->slot_bytes, ER_LINE) > MAX_BYTES / c->num_slots) {
        return -EINVAL;
    }

    memset(s, 0, sizeof *s);
    s->magic = ER_MAGIC;
    s->abi = ER_ABI;
    s->num_envs = c->num_envs;
    s->num_workers = c->num_workers;
    s->num_slots = c->num_slots;
    s->slot_bytes = align(c->slot_bytes, ER_LINE);
    s->info_bytes = c->info_bytes;
    s->action_bytes = c->action_bytes;
    s->final_bytes = c->final_bytes;
    s->command_ring_bytes = c->command_ring_bytes;
    s->reply_ring_bytes = c->reply_ring_bytes;

    uint64_t at = sizeof *s;
    uint64_t n = c->num_envs;
    uint64_t w = c->num_workers;
    s->off_workers = at;
    at = align(at + w * sizeof(er_worker_t), ER_LINE);
    s->off_env_seq = at;
    at = align(at + n * sizeof(uint32_t), ER_LINE);
    s->off_ready = at;
    at = align(at + (n + 63) / 64 * sizeof(uint64_t), ER_LINE);
    s->off_template_ids = at;
    at = align(at + n * sizeof(uint16_t), ER_LINE);
    s->off_final_marks = at;
    at = align(at + n, ER_LINE);
    s->off_command_rings = at;
    at = align(at + w * c->command_ring_bytes, ER_LINE);
    s->off_reply_rings = at;
    at = align(at + w * c->reply_ring_bytes, ER_LINE);
    s->off_actions = at;
    at = align(at + c->action_bytes, ER_LINE);
    s->off_final = at;
    at = align(at + c->final_bytes, ER_PAGE);
    s->off_slots = at;
    at = align(at + c->num_slots * s->slot_bytes, ER_PAGE);
    s->off_infos = at;
    s->total_bytes = align(at + c->info_bytes, ER_PAGE);
    return 0;
}

int64_t er_segment_bytes(const er_config_t *config) {
    er_segment_t s;
    int r = plan(&s, config);
    return r < 0 ? r : (int64_t)s.total_bytes;
}

int er_segment_format(void *base, uint64_t bytes, const er_config_t *config) {
    er_segment_t s;
    int r = plan(&s, config);
    if (r < 0) return r;
    if (bytes < s.total_bytes) return -EINVAL;
    memcpy(base, &s, offsetof(er_segment_t, sealed));          /* the rest is zero already */
    er_store_release(&((er_segment_t *)base)->sealed, ER_ABI); /* SYNC POINT: seal */
    return 0;
}

int er_segment_check(const void *base, uint64_t bytes) {
    if (bytes < sizeof(er_segment_t)) return -EBADMSG;
    er_segment_t *s = (er_segment_t *)(uintptr_t)base;
    uint32_t sealed = er_load_acquire(&s->sealed); /* SYNC POINT: seal */
    if (!sealed) return -EAGAIN; /* and not a look at the rest: it may be under way */
    if (s->magic != ER_MAGIC) return -EBADMSG;
    if (sealed != ER_ABI || s->abi != ER_ABI) return -EPROTO;

    er_config_t c = {
        .num_envs = s->num_envs,
        .num_workers = s->num_workers,
        .num_slots = s->num_slots,
        .command_ring_bytes = s->command_ring_bytes,
        .reply_ring_bytes = s->reply_ring_bytes,
        .action_bytes = s->action_bytes,
        .final_bytes = s->final_bytes,
        .slot_bytes = s->slot_bytes,
        .info_bytes = s->info_bytes,
    };
    er_segment_t expected;
    if (plan(&expected, &c) < 0) return -ERANGE;
    size_t constants = offsetof(er_segment_t, sealed);
    if (memcmp(&expected, s, constants) != 0) return -ERANGE;
    return expected.total_bytes <= bytes ? 0 : -ERANGE;
}

uint32_t er_segment_abi(void) { return ER_ABI; }
