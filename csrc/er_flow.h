/* SPDX-License-Identifier: MIT
 *
 * Envs that are stepped by themselves: the caller sends commands for some, and takes what is done.
 *
 *   caller                                        worker w
 *     er_flow_post(w, command)     == ring data ==>  er_worker_next -> command
 *     er_caller_ring               == bell ====>     steps an env, then
 *     er_flow_wait(count)          <== ready ====    er_worker_finish_some: sequence, mark, maybe ring
 *     er_flow_take(...)
 *
 * What is a fact, and who rings, is as in er_batch.h. `pending` is here what the caller has asked for
 * so far, less what workers have published: whoever brings it to zero rings, so that a wait for many
 * envs wakes the caller once. Both are single operations on one word, so neither can miss the other.
 *
 * Envs that are done are taken in the order in which they were found: none is passed over for ever.
 */
#ifndef ER_FLOW_H
#define ER_FLOW_H

#include "er_batch.h"

typedef struct {
    er_caller_t *caller;
    uint32_t *wanted;   /* per env: the sequence that it owes, or 0 */
    uint32_t *queue;    /* envs that are done, as a circle of num_envs */
    uint32_t first;     /* of the queue */
    uint32_t num_ready; /* in the queue */
    uint32_t num_busy;  /* that owe a result */
    uint32_t found;     /* these two since er_flow_begin: results found, */
    uint32_t asked;     /* results that `pending` was told of */
    uint32_t last;      /* sequence of the last command: a batch may have followed */
    int32_t excess;     /* what `pending` was too high by, when a wait ended by its deadline, */
    int64_t since_ns;   /* and when that was first seen */
} er_flow_t;

/* The arrays are the caller's: num_envs zeroed words each. */
void er_flow_open(er_flow_t *flow, er_caller_t *caller, uint32_t *wanted, uint32_t *queue);

/* Starts counting, if a batch was run since the last time. Nothing may be under way. */
void er_flow_begin(er_flow_t *flow);

/* A number for commands, which is never 0. */
uint32_t er_flow_sequence(er_flow_t *flow);

/* Queues a command for some envs of a worker whose first env is first_env; none of them may owe a
 * result. 0, -EINVAL, or -EAGAIN if the ring is full: then nothing was changed. er_caller_ring wakes
 * the worker. */
int er_flow_post(er_flow_t *flow, uint32_t worker, uint32_t first_env, const er_command_t *command);

/* As er_caller_replace. Results that have come are in the queue afterwards; the new process has to be
 * sent the commands of the others again. 0 or -EINVAL. */
int er_flow_replace(er_flow_t *flow, uint32_t worker, uint32_t first_env, uint32_t num_envs);

/* Puts what has finished into the queue. Returns how many envs are in it. */
uint32_t er_flow_collect(er_flow_t *flow);

/* Waits until so many envs are in the queue. Returns as er_caller_wait does. A worker that died, or was
 * stopped, between its marks and its count costs one or two waits their deadline, not all. */
int er_flow_wait(er_flow_t *flow, uint32_t count, int64_t deadline_ns);

/* Takes the first `count` envs, of those in the queue, out of it. */
void er_flow_take(er_flow_t *flow, uint32_t count, uint32_t *envs);

/* Takes the envs that are marked (one byte per env) out of the queue. Returns how many it had. */
uint32_t er_flow_take_marked(er_flow_t *flow, const uint8_t *marked, uint32_t *envs);

/* Puts envs that were taken back to the front. */
void er_flow_put_back(er_flow_t *flow, uint32_t count, const uint32_t *envs);

#endif
