/* SPDX-License-Identifier: MIT */
#include "er_batch.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "er_park.h"
#include "er_ready.h"

int er_caller_open(er_caller_t *caller, er_segment_t *segment, er_ring_view_t *commands,
                   er_ring_view_t *replies, uint64_t *counted) {
    caller->segment = segment;
    caller->commands = commands;
    caller->replies = replies;
    caller->counted = counted;
    caller->env_seq = er_env_seq(segment);
    caller->ready = er_ready(segment);
    caller->num_envs = segment->num_envs;
    caller->num_workers = segment->num_workers;
    caller->seq = 0;
    caller->expected = 0;
    caller->done = 0;
    caller->seen = er_bell_value(&segment->caller_bell);
    for (uint32_t w = 0; w < caller->num_workers; w++) {
        er_worker_t *block = er_worker(segment, w);
        int r = er_ring_open_producer(&commands[w], &block->commands, er_command_data(segment, w),
                                      segment->command_ring_bytes);
        if (r == 0) {
            r = er_ring_open_consumer(&replies[w], &block->replies, er_reply_data(segment, w),
                                      segment->reply_ring_bytes);
        }
        if (r < 0) return r;
    }
    return 0;
}

int er_worker_open(er_worker_end_t *end, er_segment_t *segment, uint32_t worker, uint32_t first_env,
                   uint32_t num_envs) {
    if (worker >= segment->num_workers) return -EINVAL;
    if (first_env > segment->num_envs || num_envs > segment->num_envs - first_env) return -EINVAL;
    end->segment = segment;
    end->worker = worker;
    end->first_env = first_env;
    end->num_envs = num_envs;
    er_worker_t *block = end->block = er_worker(segment, worker);
    end->env_seq = er_env_seq(segment) + first_env;
    end->ready = er_ready(segment);
    end->template_ids = (uint16_t *)er_at(segment, segment->off_template_ids) + first_env;
    int r = er_ring_open_consumer(&end->commands, &block->commands,
                                  er_command_data(segment, worker), segment->command_ring_bytes);
    if (r < 0) return r;
    return er_ring_open_producer(&end->replies, &block->replies, er_reply_data(segment, worker),
                                 segment->reply_ring_bytes);
}

uint32_t er_caller_begin(er_caller_t *caller, uint32_t expected) {
    er_segment_t *s = caller->segment;
    caller->seq++;
    caller->expected = expected;
    caller->done = 0;
    caller->seen = er_bell_value(&s->caller_bell);
    memset(caller->counted, 0, (caller->num_envs + 63) / 64 * sizeof(uint64_t));
    /* Relaxed: workers touch it only after a command of this batch, which is released later. */
    er_store_relaxed(&s->progress.pending, (int32_t)expected);
    return caller->seq;
}

int er_caller_post(er_caller_t *caller, uint32_t worker, const er_command_t *command) {
    if (worker >= caller->num_workers) return -EINVAL;
    return er_ring_put(&caller->commands[worker], command, sizeof *command);
}

void er_caller_excuse(er_caller_t *caller, uint32_t first_env, uint32_t num_envs) {
    for (uint32_t env = first_env; env < first_env + num_envs; env++) {
        uint64_t bit = UINT64_C(1) << env % 64;
        if (caller->counted[env / 64] & bit) continue;
        caller->counted[env / 64] |= bit;
        caller->done++;
        er_store_relaxed(&caller->env_seq[env], caller->seq);
    }
    /* SYNC POINT: pending. Who was counted here may have died before it counted itself. If it did not,
     * it counts twice, and somebody rings too early: less than ringing too late. */
    er_fetch_sub_acq_rel(&caller->segment->progress.pending, (int32_t)num_envs);
}

int er_caller_replace(er_caller_t *caller, uint32_t worker, uint32_t first_env, uint32_t num_envs) {
    if (worker >= caller->num_workers || num_envs == 0) return -EINVAL;
    if (first_env > caller->num_envs || num_envs > caller->num_envs - first_env) return -EINVAL;
    er_ring_restart(&caller->commands[worker]);
    er_ring_restart(&caller->replies[worker]);
    /* SYNC POINT: result. The first sequence is published after all results of the slice. */
    if (er_load_acquire(&caller->env_seq[first_env]) == caller->seq) {
        er_caller_excuse(caller, first_env, num_envs);
        return 0;
    }
    /* found by the ring, because an env may have written nonsense into the header since */
    uint8_t *ring = (uint8_t *)caller->replies[worker].shared;
    er_worker_t *block = (er_worker_t *)(ring - offsetof(er_worker_t, replies));
    memset(&block->report, 0, sizeof block->report);
    return 1;
}

int er_caller_ring(er_caller_t *caller) { return er_bell_ring(&caller->segment->command_bell); }

uint32_t er_caller_collect(er_caller_t *caller) {
    uint32_t words = (caller->num_envs + 63) / 64;
    for (uint32_t w = 0; w < words; w++) {
        uint64_t fresh = er_ready_take(&caller->ready[w]) & ~caller->counted[w];
        while (fresh) {
            uint32_t bit = (uint32_t)__builtin_ctzll(fresh);
            uint32_t env = w * 64 + bit;
            fresh &= fresh - 1;
            if (env >= caller->num_envs) break;
            /* SYNC POINT: result. Acquire pairs with er_worker_finish. */
            if (er_load_acquire(&caller->env_seq[env]) != caller->seq) continue;
            caller->counted[w] |= UINT64_C(1) << bit;
            caller->done++;
        }
    }
    return caller->done < caller->expected ? caller->expected - caller->done : 0;
}

int er_caller_wait(er_caller_t *caller, int64_t deadline_ns) {
    er_bell_t *bell = &caller->segment->caller_bell;
    if (er_caller_collect(caller) == 0) return 0;
    int r = er_bell_wait(bell, caller->seen, &caller->wait, deadline_ns);
    /* Sampled before the looks at sequences (here) and at replies (after this returns): what is rung
     * later ends the next wait. A sample at its beginning would miss a ring between the two. */
    if (r == 0) caller->seen = er_bell_value(bell);
    if (er_caller_collect(caller) == 0) return 0;
    return r < 0 ? r : 1;
}

int er_worker_next(er_worker_end_t *end, er_command_t *command, int64_t deadline_ns) {
    er_bell_t *bell = &end->segment->command_bell;
    for (;;) {
        uint32_t seen = er_bell_value(bell);
        int r = er_ring_get(&end->commands, command, sizeof *command);
        if (r != -EAGAIN) return r;
        r = er_bell_wait(bell, seen, &end->wait, deadline_ns);
        if (r < 0) return r;
    }
}

int er_worker_stall(er_worker_end_t *end, int64_t deadline_ns) {
    er_segment_t *s = end->segment;
    uint32_t seen = er_bell_value(&s->command_bell);
    er_bell_ring(&s->caller_bell);
    return er_bell_wait(&s->command_bell, seen, &end->wait, deadline_ns);
}

/* Spares the caller a look at every env's template id, and the cache misses with it. */
static uint32_t any_info(const er_worker_end_t *end) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < end->num_envs; i++) seen |= end->template_ids[i];
    return seen != 0;
}

/* Publishes a run of envs. Returns how many more the caller waits for. */
static int32_t publish(er_worker_end_t *end, uint32_t seq, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++) {
        /* SYNC POINT: result. Release: slot, report and reply are complete. */
        er_store_release(&end->env_seq[i], seq);
    }
    er_ready_mark(end->ready, end->first_env + first, count);
    /* SYNC POINT: pending. Both sides: the last worker's ring carries every other's marks too. */
    return er_fetch_sub_acq_rel(&end->segment->progress.pending, (int32_t)count) - (int32_t)count;
}

void er_worker_finish(er_worker_end_t *end, uint32_t seq) {
    end->block->report.infos = any_info(end);
    if (publish(end, seq, 0, end->num_envs) <= 0) er_bell_ring(&end->segment->caller_bell);
}

int er_worker_finish_some(er_worker_end_t *end, uint32_t seq, uint32_t first, uint32_t count) {
    int32_t left = publish(end, seq, first, count);
    /* Only whoever brings it to zero rings: below, nobody waits. */
    if (left > 0 || left + (int32_t)count <= 0) return 0;
    return er_bell_ring(&end->segment->caller_bell);
}
