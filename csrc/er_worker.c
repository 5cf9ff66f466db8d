/* SPDX-License-Identifier: MIT */
#include "er_worker.h"

#include <string.h>

#include "er_lifeline.h"
#include "er_park.h"
#include "er_stats.h"

#define SHORT_NS 100000   /* of a batch in which two looks at the clock would show */
#define STALL_NS 50000000 /* a stalled reply looks this often whether the caller still lives */

uint64_t er_port_bytes(void) { return sizeof(er_port_t); }

const er_command_t *er_port_command(const er_port_t *port) { return &port->command; }

int er_port_open(er_port_t *port, void *base, uint32_t worker, uint32_t first_env,
                 uint32_t num_envs, double spin_seconds, int adaptive, uint32_t yield_every) {
    er_segment_t *segment = base;
    memset(port, 0, sizeof *port);
    er_wait_open(&port->end.wait, spin_seconds, adaptive, yield_every);
    er_spread_open(&port->spread, segment, &port->end.wait);
    int r = er_worker_open(&port->end, segment, worker, first_env, num_envs);
    if (r < 0) return r;
    /* it counts on from where a worker stood in whose place it is */
    port->end.wait.spins = er_load_relaxed(&port->end.block->stats.spins);
    port->end.wait.parks = er_load_relaxed(&port->end.block->stats.parks);
    port->end.wait.spun_ns = er_load_relaxed(&port->end.block->stats.spin_ns);
    return 0;
}

/* Waits from `start` on: so much is counted. */
static int next(er_port_t *port, int64_t start, int64_t timeout_ns) {
    er_stats_t *stats = &port->end.block->stats;
    int r = er_worker_next(&port->end, &port->command, start + timeout_ns);
    if (r < 0) return r;
    const er_command_t *command = &port->command;
    if (command->op == ER_OP_EACH || command->op == ER_OP_TOGETHER) {
        uint32_t n = port->end.num_envs;
        port->at = command->first < n ? command->first : n;
        port->until = command->count < n - port->at ? port->at + command->count : n;
        port->found = 0;
    }
    port->since = er_park_now();
    int is_some = command->op == ER_OP_EACH || command->op == ER_OP_TOGETHER;
    if (is_some && port->began) {
        er_spread_apart(&port->spread, port->end.segment, port->since - start, start - port->began);
    }
    port->began = is_some ? port->since : 0;
    er_stat_add(&stats->wait_ns, (uint64_t)(port->since - start));
    er_stat_set(&stats->spins, port->end.wait.spins);
    er_stat_set(&stats->parks, port->end.wait.parks);
    er_stat_set(&stats->spin_ns, port->end.wait.spun_ns);
    return 0;
}

int er_port_next(er_port_t *port, int64_t timeout_ns) {
    return next(port, er_park_now(), timeout_ns);
}

uint64_t er_port_env_steps(const er_port_t *port) {
    return er_load_relaxed(&port->end.block->stats.env_steps);
}

void er_port_count(er_port_t *port, int64_t busy_ns, uint64_t env_steps) {
    er_stats_t *stats = &port->end.block->stats;
    er_stat_add(&stats->busy_ns, (uint64_t)busy_ns);
    er_stat_add(&stats->batches, 1);
    er_stat_add(&stats->env_steps, env_steps);
}

void er_port_count_since(er_port_t *port, uint64_t env_steps) {
    int64_t now = er_park_now();
    if (env_steps) er_port_count(port, now - port->since, env_steps);
    port->since = now;
}

void er_port_hint(er_port_t *port, uint32_t hints) { port->hints |= hints; }

/* 1, 0 if the caller went away, or -errno. */
static int send(er_port_t *port, const uint8_t *reply, uint64_t bytes) {
    while (bytes) {
        int64_t n = er_ring_write(&port->end.replies, reply, bytes);
        if (n < 0) return (int)n;
        reply += n;
        bytes -= (uint64_t)n;
        if (n) continue;
        er_worker_stall(&port->end, er_park_now() + STALL_NS);
        if (er_lifeline_cut()) return 0;
    }
    return 1;
}

int er_port_env(const er_port_t *port) { return port->at < port->until ? (int)port->at : -1; }

static int finish_one(er_port_t *port, uint32_t seq, const void *reply, uint64_t bytes) {
    er_worker_end_t *end = &port->end;
    if (reply) {
        er_env_reply_t head = {.env = end->first_env + port->at, .seq = seq, .bytes = bytes};
        int r = send(port, (const uint8_t *)&head, sizeof head);
        if (r > 0) r = send(port, reply, bytes);
        if (r <= 0) return r;
    }
    int woken = 0;
    port->at++;
    if (port->command.op == ER_OP_EACH) {
        woken = er_worker_finish_some(end, seq, port->at - 1, 1);
    } else if (port->at == port->until) {
        uint32_t first = port->command.first;
        woken = er_worker_finish_some(end, seq, first, port->until - first);
    }
    /* There may be more to do here, and no other core for the caller: it goes first. */
    if (woken > 0) er_park_yield();
    return 1;
}

int er_port_finish(er_port_t *port, uint32_t seq, const void *reply, uint64_t bytes) {
    if (port->at < port->until) return finish_one(port, seq, reply, bytes);
    er_report_t *report = &port->end.block->report;
    report->reply_bytes = reply ? bytes : 0;
    report->hints = port->hints;
    port->hints = 0;
    int r = send(port, reply, report->reply_bytes);
    if (r <= 0) return r;
    er_worker_finish(&port->end, seq);
    if (er_load_relaxed(&port->end.segment->timed)) {
        er_stat_set(&port->end.block->stats.finished_ns[seq & 1], (uint64_t)er_park_now());
    }
    return 1;
}

void er_port_count_for(er_port_t *port, er_steploop_t *loop) {
    loop->timed = &port->end.segment->timed;
    loop->stats = &port->end.block->stats;
    loop->slow_rows = er_load_relaxed(&loop->stats->slow_rows);
}

void er_port_count_step(er_port_t *port, er_steploop_t *loop) {
    int64_t now = er_park_now();
    if (port->command.action != ER_ACTIONS_RESET) {
        int alone = port->at < port->until;
        er_port_count(port, now - port->since, alone ? 1 : loop->num_envs);
        if (alone) er_steploop_sample(loop, port->at, now - port->since);
        if (now - port->since > SHORT_NS) loop->spared = 0;
    }
    er_stat_set(&port->end.block->stats.slow_rows, loop->slow_rows);
    port->since = now;
}

/* Runs the next env of a command for some. Returns as er_port_serve, or 0: it can be published. */
static int serve_one(er_port_t *port, er_steploop_t *loop, int careful) {
    const er_command_t *command = &port->command;
    int resetting = command->action == ER_ACTIONS_RESET;
    if (!port->found) {
        port->found = 1;
        if (!resetting && !er_steploop_find_actions(loop, command->action)) {
            return ER_SERVED_ACTIONS;
        }
    }
    er_steploop_begin_one(loop, command->slot, port->at, resetting);
    if (er_steploop_run_one(loop) < 0) return -1;
    if (resetting && port->at + 1 == port->until && er_steploop_rebind(loop) < 0) return -1;
    er_port_count_step(port, loop);
    return careful || loop->called ? ER_SERVED_STEP : 0;
}

int er_port_serve(er_port_t *port, er_steploop_t *loop, int publish, int careful,
                  int64_t timeout_ns) {
    const er_command_t *command = &port->command;
    int64_t start = er_park_now();
    for (;; publish = 1) {
        if (publish) {
            er_port_finish(port, command->seq, NULL, 0);
            if (command->op == ER_OP_STEP) {
                er_spread(&port->spread, port->end.segment, port->end.worker, &port->end.wait);
            }
        }
        if (port->at == port->until) {
            void *thread = loop->py->save_thread();
            int r = next(port, start, timeout_ns);
            loop->py->restore_thread(thread);
            if (r < 0) return r;
        }
        if (port->at < port->until) {
            int r = serve_one(port, loop, careful);
            if (r) return r;
            start = port->since;
            continue;
        }
        if (command->op != ER_OP_STEP) return ER_SERVED_COMMAND;
        if (command->action == ER_ACTIONS_RESET) {
            er_steploop_begin_reset(loop, command->slot);
        } else if (er_steploop_find_actions(loop, command->action)) {
            er_steploop_begin(loop, command->slot);
        } else {
            return ER_SERVED_COMMAND;
        }
        if (er_steploop_run(loop) < 0) return -1;
        er_port_count_step(port, loop);
        if (careful || loop->called) return ER_SERVED_STEP;
        start = port->since;
    }
}
