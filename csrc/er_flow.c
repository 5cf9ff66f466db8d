/* SPDX-License-Identifier: MIT */
#include "er_flow.h"

#include <errno.h>

#include "er_park.h"
#include "er_ready.h"

#define MOST_PAUSES 4096

/* A worker counts at once after its marks, unless it lost its core there for a time slice or two. */
#define COUNTED_WITHIN_NS 20000000

void er_flow_open(er_flow_t *flow, er_caller_t *caller, uint32_t *wanted, uint32_t *queue) {
    *flow = (er_flow_t){.caller = caller, .wanted = wanted, .queue = queue};
}

void er_flow_begin(er_flow_t *flow) {
    er_caller_t *caller = flow->caller;
    if (flow->last && flow->last == caller->seq) return; /* a worker may still be counting */
    /* The last batch is complete, but whoever finished it may not have counted itself yet. Who was
     * stopped there does so later, and then some wait ends by its deadline: see recount. */
    for (int i = 0; i < MOST_PAUSES && er_load_relaxed(&caller->segment->progress.pending); i++) {
        er_pause();
    }
    flow->found = 0;
    flow->asked = 0;
    flow->excess = 0;
    caller->seen = er_bell_value(&caller->segment->caller_bell);
    /* Relaxed: workers touch it only after a command, which is released later. */
    er_store_relaxed(&caller->segment->progress.pending, 0);
}

uint32_t er_flow_sequence(er_flow_t *flow) {
    uint32_t seq = ++flow->caller->seq;
    if (!seq) seq = ++flow->caller->seq;
    flow->last = seq;
    return seq;
}

int er_flow_post(er_flow_t *flow, uint32_t worker, uint32_t first_env,
                 const er_command_t *command) {
    uint32_t num_envs = flow->caller->num_envs;
    uint32_t first = first_env + command->first;
    if (first > num_envs || command->count > num_envs - first) return -EINVAL;
    int r = er_caller_post(flow->caller, worker, command);
    if (r < 0) return r;
    for (uint32_t env = first; env < first + command->count; env++) {
        flow->wanted[env] = command->seq;
    }
    flow->num_busy += command->count;
    return 0;
}

/* Puts an env into the queue if it has done what it was sent. */
static int find(er_flow_t *flow, uint32_t env) {
    er_caller_t *caller = flow->caller;
    if (!flow->wanted[env]) return 0;
    /* SYNC POINT: result. Acquire pairs with er_worker_finish_some. */
    if (er_load_acquire(&caller->env_seq[env]) != flow->wanted[env]) return 0;
    flow->wanted[env] = 0;
    flow->num_busy--;
    flow->found++;
    flow->queue[(flow->first + flow->num_ready++) % caller->num_envs] = env;
    return 1;
}

int er_flow_replace(er_flow_t *flow, uint32_t worker, uint32_t first_env, uint32_t num_envs) {
    er_caller_t *caller = flow->caller;
    if (worker >= caller->num_workers) return -EINVAL;
    if (first_env > caller->num_envs || num_envs > caller->num_envs - first_env) return -EINVAL;
    er_ring_restart(&caller->commands[worker]);
    er_ring_restart(&caller->replies[worker]);
    er_flow_collect(flow);
    int32_t unmarked = 0; /* who has not marked has not counted either */
    for (uint32_t env = first_env; env < first_env + num_envs; env++) unmarked += find(flow, env);
    /* SYNC POINT: pending. As a worker counts. */
    er_fetch_sub_acq_rel(&caller->segment->progress.pending, unmarked);
    return 0;
}

uint32_t er_flow_collect(er_flow_t *flow) {
    er_caller_t *caller = flow->caller;
    uint32_t n = caller->num_envs;
    for (uint32_t w = 0; w < (n + 63) / 64; w++) {
        uint64_t marks = er_ready_take(&caller->ready[w]);
        for (; marks; marks &= marks - 1) {
            uint32_t env = w * 64 + (uint32_t)__builtin_ctzll(marks);
            if (env >= n) break;
            find(flow, env);
        }
    }
    return flow->num_ready;
}

/* After a wait that ended by its deadline. `pending` is what was read before the marks were taken, so
 * whatever had been counted was found: it can only be too high, by those who have not counted yet. If
 * that lasts they are dead or stopped, and are counted for; if it is too low, they went on after all. */
static void recount(er_flow_t *flow, uint32_t pending) {
    int32_t excess = (int32_t)(pending - (flow->asked - flow->found));
    if (excess > 0) {
        int64_t now = er_park_now();
        if (excess != flow->excess) {
            flow->excess = excess;
            flow->since_ns = now;
        }
        if (now - flow->since_ns < COUNTED_WITHIN_NS) return;
    }
    flow->excess = 0;
    /* SYNC POINT: pending. As a worker counts. */
    if (excess) er_fetch_sub_acq_rel(&flow->caller->segment->progress.pending, excess);
}

int er_flow_wait(er_flow_t *flow, uint32_t count, int64_t deadline_ns) {
    er_caller_t *caller = flow->caller;
    er_bell_t *bell = &caller->segment->caller_bell;
    if (er_flow_collect(flow) >= count) return 0;
    uint32_t target = flow->found + (count - flow->num_ready);
    int32_t more = (int32_t)(target - flow->asked);
    flow->asked = target;
    /* SYNC POINT: pending. With it at zero or less, the marks of what was asked for are visible. */
    int32_t left = er_fetch_add_acq_rel(&caller->segment->progress.pending, more) + more;
    if (left <= 0 && er_flow_collect(flow) >= count) return 0;
    int r = er_bell_wait(bell, caller->seen, &caller->wait, deadline_ns);
    /* Sampled before the looks at sequences and replies, as in er_caller_wait. */
    if (r == 0) caller->seen = er_bell_value(bell);
    /* SYNC POINT: pending. Acquire: the marks of all who have counted are visible. */
    uint32_t pending = (uint32_t)er_load_acquire(&caller->segment->progress.pending);
    uint32_t ready = er_flow_collect(flow);
    if (r == -ETIMEDOUT) recount(flow, pending);
    if (ready >= count) return 0;
    return r < 0 ? r : 1;
}

void er_flow_take(er_flow_t *flow, uint32_t count, uint32_t *envs) {
    uint32_t n = flow->caller->num_envs;
    for (uint32_t i = 0; i < count; i++) envs[i] = flow->queue[(flow->first + i) % n];
    flow->first = (flow->first + count) % n;
    flow->num_ready -= count;
}

uint32_t er_flow_take_marked(er_flow_t *flow, const uint8_t *marked, uint32_t *envs) {
    uint32_t n = flow->caller->num_envs;
    uint32_t kept = 0;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < flow->num_ready; i++) {
        uint32_t env = flow->queue[(flow->first + i) % n];
        if (marked[env]) {
            envs[taken++] = env;
        } else {
            flow->queue[(flow->first + kept++) % n] = env;
        }
    }
    flow->num_ready = kept;
    return taken;
}

void er_flow_put_back(er_flow_t *flow, uint32_t count, const uint32_t *envs) {
    uint32_t n = flow->caller->num_envs;
    flow->first = (flow->first + n - count) % n;
    flow->num_ready += count;
    for (uint32_t i = 0; i < count; i++) flow->queue[(flow->first + i) % n] = envs[i];
}
