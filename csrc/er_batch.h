/* SPDX-License-Identifier: MIT
 *
 * One batch, from both ends.
 *
 *   caller                                       worker w, for its slice of envs
 *     er_caller_begin(expected)                    er_worker_next -> command
 *     er_caller_post(w, command)  == ring data ==>   steps its envs into the command's slot
 *     er_caller_ring              == bell ====>      report, then
 *     er_caller_wait              <== ready ====   er_worker_finish: sequences, marks, maybe ring
 *
 * A batch is complete when every expected env's sequence word holds the batch's number: facts, read
 * with acquire, so that results need no further synchronisation. The ready bitmap says where to
 * look, and `pending` says which worker should ring: the one that brings it to zero. Both may be
 * wrong after a kill without harm: a wait is bounded, and the caller looks for dead processes between
 * waits.
 *
 * One caller thread, one thread per worker. Only one batch is under way at a time.
 */
#ifndef ER_BATCH_H
#define ER_BATCH_H

#include "er_doorbell.h"
#include "er_ring.h"
#include "er_segment.h"

typedef struct {
    er_segment_t *segment;
    er_ring_view_t *commands; /* one producer view per worker */
    er_ring_view_t *replies;  /* one consumer view per worker */
    uint64_t *counted;        /* one bit per env: counted in this batch */
    er_atomic32_t *env_seq;   /* this and the next three: read from the header once */
    er_atomic64_t *ready;
    uint32_t num_envs;
    uint32_t num_workers;
    uint32_t seq;
    uint32_t expected;
    uint32_t done;
    uint32_t seen; /* caller bell, sampled before the last look at sequences and replies */
    er_wait_t wait;
} er_caller_t;

typedef struct {
    er_segment_t *segment;
    er_worker_t *block;     /* this and the next three: found by the header once, */
    er_atomic32_t *env_seq; /* because an env may write nonsense there; first env's */
    er_atomic64_t *ready;
    const uint16_t *template_ids; /* first env's */
    uint32_t worker;
    uint32_t first_env;
    uint32_t num_envs;
    er_ring_view_t commands;
    er_ring_view_t replies;
    er_wait_t wait;
} er_worker_end_t;

/* Opens the rings. The arrays are the caller's: num_workers views each, (num_envs + 63) / 64 words. */
int er_caller_open(er_caller_t *caller, er_segment_t *segment, er_ring_view_t *commands,
                   er_ring_view_t *replies, uint64_t *counted);
int er_worker_open(er_worker_end_t *end, er_segment_t *segment, uint32_t worker, uint32_t first_env,
                   uint32_t num_envs);

/* Starts a batch of `expected` envs and returns its sequence number. */
uint32_t er_caller_begin(er_caller_t *caller, uint32_t expected);

/* Queues a command for one worker. 0, -EINVAL, or -EAGAIN if the ring is full. */
int er_caller_post(er_caller_t *caller, uint32_t worker, const er_command_t *command);

/* Makes ready for a process that takes the place of a worker, which is dead and whose replies were
 * read. Returns 1 if its envs owe their results of the batch under way: the new process has to be
 * sent its command again; 0 if all of them have come, perhaps in this moment. -EINVAL. */
int er_caller_replace(er_caller_t *caller, uint32_t worker, uint32_t first_env, uint32_t num_envs);

/* Counts these envs as done in the batch under way, whose results nobody will publish. */
void er_caller_excuse(er_caller_t *caller, uint32_t first_env, uint32_t num_envs);

/* Wakes the workers to look at their rings. */
int er_caller_ring(er_caller_t *caller);

/* Counts what has finished. Returns the number of expected envs still under way. */
uint32_t er_caller_collect(er_caller_t *caller);

/* Waits. 0: batch complete. 1: a worker rang but the batch is not complete (it may want its reply
 * ring drained: drain all, then er_caller_ring, even if there was nothing). -ETIMEDOUT, -EINTR.
 * A ring that falls between a return of 1 and the next call ends that call at once. */
int er_caller_wait(er_caller_t *caller, int64_t deadline_ns);

/* Next command: 0, -ETIMEDOUT, -EINTR, -EPROTO. */
int er_worker_next(er_worker_end_t *end, er_command_t *command, int64_t deadline_ns);

/* Asks the caller to drain the reply ring, and waits until it rings back. 0, -ETIMEDOUT, -EINTR. */
int er_worker_stall(er_worker_end_t *end, int64_t deadline_ns);

/* Publishes the slice's results of batch `seq` and rings if the caller waits for no other worker. */
void er_worker_finish(er_worker_end_t *end, uint32_t seq);

/* Publishes the results of a run of the slice's envs, and rings if the caller waits for no more than
 * these: see er_flow.h. Returns how many sleepers it woke, or -errno. */
int er_worker_finish_some(er_worker_end_t *end, uint32_t seq, uint32_t first, uint32_t count);

#endif
