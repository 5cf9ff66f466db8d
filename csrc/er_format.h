/* SPDX-License-Identifier: MIT
 *
 * The bytes of a segment.
 *
 *   header | command bell | caller bell | progress | worker blocks | env sequences | ready bitmap |
 *   info template ids | final marks | command rings | reply rings | actions | final slab | slots |
 *   info area
 *
 * Every region starts on a multiple of ER_LINE; slots and the info area start on a page, because
 * they are backed with memory one slot (one column) at a time. Offsets are computed once, by
 * er_segment_format, and then read from the header by all processes, so that none has to
 * agree on more than this file.
 *
 * Adding a field: put it behind the last one, update the assertions, raise ER_ABI.
 */
#ifndef ER_FORMAT_H
#define ER_FORMAT_H

#include <stddef.h>

#include "er_atomic.h"

#define ER_MAGIC UINT64_C(0x474e4952564e45) /* "ENVRING" read as a little-endian word */
#define ER_ABI 4u
#define ER_LINE 128u /* two cache lines: adjacent-line prefetch makes 64 too little */
#define ER_PAGE 4096u
#define ER_MAX_ENVS (1u << 20)
#define ER_MAX_WORKERS 4096u
#define ER_MAX_SLOTS 65536u

/* An eventcount: bit 0 = a waiter sleeps, the rest = sequence. */
typedef struct {
    _Alignas(ER_LINE) er_atomic32_t word;
} er_bell_t;

/* The shared part of an SPSC ring: positions count bytes for ever, each has one writer. */
typedef struct {
    _Alignas(ER_LINE) er_atomic64_t tail; /* producer */
    _Alignas(ER_LINE) er_atomic64_t head; /* consumer */
} er_ring_t;

/* Statistics of one worker; it alone writes them, anybody may read them at any time. */
typedef struct {
    _Alignas(ER_LINE) er_atomic64_t batches;
    er_atomic64_t env_steps;
    er_atomic64_t busy_ns;
    er_atomic64_t wait_ns;
    er_atomic64_t spins;     /* waits that ended while spinning */
    er_atomic64_t parks;     /* waits that went to sleep */
    er_atomic64_t slow_rows; /* env results that left the compiled fast path */

    /* Written only while the segment is timed; moments are er_park_now's. */
    er_atomic64_t env_ns;         /* in the envs' step, and in resets that follow an end */
    er_atomic64_t began_ns;       /* the last batch: its first env's turn came, */
    er_atomic64_t ended_ns;       /* its results were stored, */
    er_atomic64_t finished_ns[2]; /* published, the caller rung: after which it is too late to
                                   * publish this too, so there is one for odd batches and one for
                                   * even ones, to be read when the next is complete */

    er_atomic64_t spin_ns; /* the part of wait_ns in which it was awake */
    er_atomic64_t slowest; /* env of the slice that was the slowest when each was looked at last, */
    er_atomic64_t slowest_ns; /* and the time of its step; 0: none was yet */
} er_stats_t;

/* What a worker says of the batch it has just finished; plain words, published by its sequences. */
typedef struct {
    _Alignas(ER_LINE) uint64_t reply_bytes; /* length of the batch's reply in the reply ring */
    uint32_t infos;                         /* whether any env's info is not empty */
    uint32_t hints;                         /* ER_HINT_* */
} er_report_t;

/* Where a process was seen last; read often and hardly ever written, so on lines of its own. */
typedef struct {
    _Alignas(ER_LINE) er_atomic32_t cpu; /* one more than the CPU's number, 0 = unknown */
} er_place_t;

typedef struct {
    er_report_t report;
    er_stats_t stats;
    er_ring_t commands;
    er_ring_t replies;
    er_place_t place;
} er_worker_t;

/* How far the batch is. `pending` only decides who rings the caller; facts are the sequences. */
typedef struct {
    _Alignas(ER_LINE) er_atomic_i32_t pending;
} er_progress_t;

typedef struct {
    uint64_t magic;
    uint32_t abi;
    uint32_t num_envs;
    uint32_t num_workers;
    uint32_t num_slots;
    uint64_t total_bytes;
    uint64_t slot_bytes; /* distance of two slots */
    uint64_t info_bytes;
    uint64_t action_bytes;
    uint64_t final_bytes;
    uint32_t command_ring_bytes;
    uint32_t reply_ring_bytes;
    uint64_t off_workers;
    uint64_t off_env_seq;
    uint64_t off_ready;
    uint64_t off_template_ids;
    uint64_t off_final_marks;
    uint64_t off_command_rings;
    uint64_t off_reply_rings;
    uint64_t off_actions;
    uint64_t off_final;
    uint64_t off_slots;
    uint64_t off_infos;
    er_atomic32_t sealed; /* ER_ABI, stored last: the segment may be used */
    er_atomic32_t timed;  /* whether workers take the time of what they do; the caller's word */
    /* So many slots from this one on follow each other in time: see er_slot_rows_t. 0: there are none.
     * The caller's words. */
    er_atomic32_t time_first;
    er_atomic32_t time_count;
    _Alignas(ER_LINE) er_bell_t command_bell;
    er_bell_t caller_bell;
    er_progress_t progress;
    er_place_t caller_place;
} er_segment_t;

enum { ER_HINT_MOSTLY_WAITING = 1u, ER_HINT_LEAVES_SOON = 2u };

/* A step or reset of all envs of a slice; a message; a step or reset of some, each published as soon
 * as it is done, or all together once the last one is. */
enum { ER_OP_STEP = 1u, ER_OP_MESSAGE = 2u, ER_OP_EACH = 3u, ER_OP_TOGETHER = 4u };

/* How the actions travel, by the worker's actions.py: in the slab, in the space's dtypes; or there as
 * one int64 an env, to be handed over as ints of Python; or not, and the envs are reset. Other codes
 * are for Python to read. */
enum { ER_ACTIONS_SLAB = 0u, ER_ACTIONS_RESET = 2u, ER_ACTIONS_INTS = 1u << 30 | 'i' << 8 | 8u };

/* One record of a command ring. */
typedef struct {
    uint32_t op;     /* ER_OP_* */
    uint32_t seq;    /* batch sequence to publish when done */
    uint32_t slot;   /* where the results go */
    uint32_t action; /* how the actions travel: ER_ACTIONS_* or another code */
    uint32_t first;  /* these two of ER_OP_EACH and ER_OP_TOGETHER: the run of envs, */
    uint32_t count;  /* counted from the slice's first one */
} er_command_t;

/* Precedes the reply of one env whose result is published by itself. */
typedef struct {
    uint32_t env; /* its id */
    uint32_t seq; /* of the command */
    uint64_t bytes;
} er_env_reply_t;

_Static_assert(sizeof(er_bell_t) == ER_LINE, "a bell has its lines to itself");
_Static_assert(sizeof(er_ring_t) == 2 * ER_LINE, "each position has its lines to itself");
_Static_assert(sizeof(er_worker_t) == 7 * ER_LINE, "worker block");
_Static_assert(offsetof(er_worker_t, stats) == ER_LINE, "worker block: stats");
_Static_assert(offsetof(er_stats_t, finished_ns) == 80, "statistics: last");
_Static_assert(offsetof(er_stats_t, slowest_ns) == 112, "statistics: the slowest env");
_Static_assert(sizeof(er_stats_t) == ER_LINE, "statistics have their lines to themselves");
_Static_assert(offsetof(er_worker_t, commands) == 2 * ER_LINE, "worker block: commands");
_Static_assert(offsetof(er_worker_t, replies) == 4 * ER_LINE, "worker block: replies");
_Static_assert(offsetof(er_segment_t, off_workers) == 72, "header: first offset");
_Static_assert(offsetof(er_segment_t, sealed) == 160, "header: seal");
_Static_assert(offsetof(er_segment_t, timed) == 164, "header: timed");
_Static_assert(offsetof(er_segment_t, time_first) == 168, "header: time slots");
_Static_assert(offsetof(er_segment_t, time_count) == 172, "header: time slots");
_Static_assert(offsetof(er_segment_t, command_bell) == 256, "header: command bell");
_Static_assert(offsetof(er_segment_t, caller_bell) == 384, "header: caller bell");
_Static_assert(offsetof(er_segment_t, progress) == 512, "header: progress");
_Static_assert(offsetof(er_segment_t, caller_place) == 640, "header: caller's place");
_Static_assert(sizeof(er_segment_t) == 768, "header");
_Static_assert(sizeof(er_command_t) == 24, "command record");
_Static_assert(sizeof(er_env_reply_t) == 16, "head of an env's reply");

#endif
