/* SPDX-License-Identifier: MIT
 *
 * A worker's port, and the serving of steps: the one shell around er_batch.h's worker end and the
 * step loop, for workers in the caller's interpreter (`_core`) and in any other (ctypes).
 *
 * er_port_serve touches objects: it is called with the interpreter's lock held, and releases it
 * while it waits. All others do without the lock.
 */
#ifndef ER_WORKER_H
#define ER_WORKER_H

#include "er_batch.h"
#include "er_spread.h"
#include "er_steploop.h"

typedef struct {
    er_worker_end_t end;
    er_command_t command; /* the last one taken */
    er_spread_t spread;
    int64_t since;  /* when it was taken, or when its step was done */
    int64_t began;  /* when it was taken, if it is for some envs; else 0 */
    uint32_t hints; /* of the next report */

    /* of a command for some envs, counted from the slice's first */
    uint32_t at;    /* the env that is next, or whose result is not yet published */
    uint32_t until; /* after the last; at == until: there is no such command */
    int found;      /* whether the loop has their actions */
} er_port_t;

/* For callers that do not know the struct. */
uint64_t er_port_bytes(void);
const er_command_t *er_port_command(const er_port_t *port);

/* `base` is a segment that was checked; the last three say how to wait (er_wait_open). 0 or -errno.
 */
int er_port_open(er_port_t *port, void *base, uint32_t worker, uint32_t first_env,
                 uint32_t num_envs, double spin_seconds, int adaptive, uint32_t yield_every);

/* Waits for a command at most timeout_ns, and leaves it in port->command. 0 or -errno. */
int er_port_next(er_port_t *port, int64_t timeout_ns);

/* How many steps the worker's statistics count. */
uint64_t er_port_env_steps(const er_port_t *port);

/* Adds a batch to the worker's statistics. */
void er_port_count(er_port_t *port, int64_t busy_ns, uint64_t env_steps);

/* The same with the time since a command was taken, or since this was called last. 0 steps are a
 * reset, whose time counts for nothing. */
void er_port_count_since(er_port_t *port, uint64_t env_steps);

/* Raises hints in the next report, and only there. */
void er_port_hint(er_port_t *port, uint32_t hints);

/* The env that is next of a command for some, counted from the slice's first one, or -1. */
int er_port_env(const er_port_t *port);

/* Publishes batch `seq`, or the env that er_port_env names and goes on to the next. A reply goes
 * through the ring, however long it is; NULL: there is none. 1, 0 if the caller went away while the
 * ring was full, or -errno. */
int er_port_finish(er_port_t *port, uint32_t seq, const void *reply, uint64_t bytes);

/* The times that the loop takes count as this worker's from now on. */
void er_port_count_for(er_port_t *port, er_steploop_t *loop);

/* Adds what the loop has run for the last command, unless it was a reset. */
void er_port_count_step(er_port_t *port, er_steploop_t *loop);

enum { ER_SERVED_COMMAND = 1, ER_SERVED_STEP = 2, ER_SERVED_ACTIONS = 3 };

/* Steps and publishes as long as Python has nothing to do. Returns
 *
 *   -errno              of the wait
 *   ER_SERVED_COMMAND   port->command is not for the loop: neither a step nor a reset, or with
 *                       actions that Python has to read
 *   ER_SERVED_STEP      a step or reset is done and not yet published: Python was called on the way, or
 *                       `careful` asks for each
 *   ER_SERVED_ACTIONS   Python has to read the actions of the command for some envs, and to set
 *                       loop->actions; then this is to be called again
 *   -1, error set       as er_steploop_run, which is to be called for the rest of the batch, and
 *                       er_port_count_step after it; of a command for some envs (er_port_env), only
 *                       that env is done, and as after ER_SERVED_STEP
 *
 * With `publish` it begins with publishing the step under way, which has no reply. */
int er_port_serve(er_port_t *port, er_steploop_t *loop, int publish, int careful,
                  int64_t timeout_ns);

#endif
