/* SPDX-License-Identifier: MIT
 *
 * Spreading: two workers that share a CPU while another CPU is idle halve the throughput.
 *
 * With a caller and as many workers as CPUs, one CPU has two of these processes. The kernel sees no
 * difference between caller and worker sharing one, which costs little (they take turns), and two
 * workers sharing one, which costs half. Where there are more CPUs than workers, no two have to share:
 * a step of cheap envs then takes a third of the time, for it switches no context. Spinners are
 * hardly ever woken, so a bad placement lasts. Now and then a worker compares where it is with where
 * the others were, and leaves a CPU that a worker before it holds, or the caller if there is room: it
 * forbids itself that CPU for a moment, which makes the kernel move it. Where that does not last it
 * soon gives up trying.
 *
 * Where programs compute on all CPUs, sharing one with the caller alone is the best that there is: a
 * worker that left it would wait for a stranger's time slice. It learns that from its own waits
 * (`strangers`), and stays where it is for a second; or from what the kernel says of its delays where
 * it went (`crowd`), and comes back for a second. One that does not spin stays with the caller anyway:
 * waking a process on the same CPU is a switch of contexts, on another it takes several times that.
 *
 * Apart: envs that are sent for (halves, send and recv) are stepped while the caller computes, and a
 * worker on its CPU would only come to run when the caller waits. So a worker that has as much idle time
 * as work leaves the caller's CPU for one that another worker has: there is room for both. The
 * kernel brings it back when the caller sleeps.
 *
 * Following: the thread of a host that answers a caller on the same machine takes turns with it, so
 * it goes to the caller's CPU, and leaves the other one to the worker.
 */
#ifndef ER_SPREAD_H
#define ER_SPREAD_H

#include "er_doorbell.h"
#include "er_segment.h"

/* How often to look, and to move. */
typedef struct {
    uint32_t batches; /* since the last look */
    uint32_t seen;    /* looks in a row that found a reason to move */
    uint32_t well;    /* looks in a row that found none */
    int64_t pause_ns; /* after a move: doubles with each that did not last */
    int64_t rests;    /* until then nothing is looked at, or 0 */
} er_pace_t;

/* How crowded a CPU is. */
typedef struct {
    int64_t looked;   /* when it was looked at, or 0 */
    int64_t delay_ns; /* of this thread so far, as it was then */
    uint32_t seen;    /* looks in a row that found it crowded */
} er_crowd_t;

typedef struct {
    int from_workers;   /* whether there is a CPU for each worker, */
    int from_caller;    /* and one more for the caller, which this worker spins for */
    uint32_t strangers; /* as the worker's waits had met when it last looked */
    int64_t stays;      /* until then it moves nowhere, for it has met another one */
    er_crowd_t crowd;
    er_pace_t pace;
    er_pace_t apart;          /* the same for envs that are sent for, */
    int64_t idle_ns, busy_ns; /* and what the worker had of them of late */
} er_spread_t;

/* Counts the CPUs that this thread may use: where they do not suffice, no worker moves. */
void er_spread_open(er_spread_t *spread, const er_segment_t *segment, const er_wait_t *wait);

/* To be called by worker `worker` after each batch, with how it waits for the next. */
void er_spread(er_spread_t *spread, const er_segment_t *segment, uint32_t worker,
               const er_wait_t *wait);

/* To be called by a worker with each command for some of its envs: how long it waited for it, and how
 * long it took for the one before. */
void er_spread_apart(er_spread_t *spread, const er_segment_t *segment, int64_t idle_ns,
                     int64_t busy_ns);

/* To be called after each batch by a thread that answers a peer on this machine, which waits
 * meanwhile, over socket `fd`: has the thread go where the peer is. There a wake-up is a switch of
 * contexts; elsewhere it may wake a halted core, or take the worker's. */
void er_follow(er_pace_t *pace, int fd);

/* To be called by the caller with each batch's number: says where it is. */
void er_spread_caller(er_segment_t *segment, uint32_t seq);

#endif
