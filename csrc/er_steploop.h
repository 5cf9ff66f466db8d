/* SPDX-License-Identifier: MIT
 *
 * The step loop: one batch over a worker's slice of envs.
 *
 * It calls the envs' pre-bound `step` methods and stores what they return, taking fast paths for
 * the exact types that nearly every env returns. All else (odd observations, rewards and infos,
 * final observations) is a call into the reference implementation, which writes to the same places:
 * envring_worker/loop.py holds the semantics, this file only speed.
 *
 * Rewards and flags are gathered in the worker's own memory and stored once per batch, because the
 * slices of two workers share cache lines there.
 */
#ifndef ER_STEPLOOP_H
#define ER_STEPLOOP_H

#include "er_format.h"
#include "er_infos.h"
#include "er_obs.h"

enum { ER_NEXT_STEP, ER_SAME_STEP, ER_DISABLED };

#define ER_CACHED_ACTIONS 256

typedef struct {
    const er_python_t *py;
    int autoreset_mode; /* ER_NEXT_STEP, ... */
    uint32_t first_env; /* slice: global number of its first env */
    uint32_t num_envs;

    const er_segment_t *segment;
    uint8_t *slots;
    uint64_t slot_bytes;
    uint64_t off_rewards; /* these three: in a slot */
    uint64_t off_terminations;
    uint64_t off_truncations;
    uint8_t *final_marks;   /* per global env */
    uint16_t *template_ids; /* per global env */
    uint8_t *info_area;

    /* owned by the Python side, in slice order; `steps` changes when methods are rebound */
    er_object **steps;
    er_object *last_obs;     /* list */
    uint8_t *pending;        /* autoreset due: shared with the reference implementation */
    double *rewards;         /* gathered */
    uint8_t *terminations;   /* gathered */
    uint8_t *truncations;    /* gathered */
    er_object *reset_env;    /* (i, whether the caller asked) -> (observation, info) */
    er_object *rebind;       /* (0, False): after a reset, which may replace methods */
    er_object *finish_ended; /* (i, result tuple): SAME_STEP's end of an episode */
    er_object *store_obs;    /* (i, obs) */
    er_object *store_info;   /* (i, info) */
    er_object *to_result;    /* (i, result) -> tuple of five */
    er_object *to_reward;    /* (i, reward) -> float */

    /* "TimeLimit.truncated" where an env may return (obs, reward, done, info), as gym before 0.26
     * had it; NULL where such a tuple is an error that to_result raises */
    er_object *truncated_key;

    er_object
        *set_slot; /* (slot, False): called before the first call of a batch to any of the five */

    const er_obs_node_t *obs_plan; /* NULL: every observation goes through store_obs */
    er_info_template_t *templates;
    int num_templates;
    int *env_template; /* per env: the template tried first, or -1 */

    /* the action slab, where it holds a number per env; else NULL */
    er_object *slab_actions;     /* the slice's actions as an array */
    const int64_t *slab_numbers; /* their numbers, if they are int64 */
    const int64_t *slab_ints;    /* the slice's numbers where actions travel as ER_ACTIONS_INTS */

    /* the segment's word and the worker's block, or NULL: then nothing is timed */
    const er_atomic32_t *timed;
    er_stats_t *stats;
    er_object *action_cache[ER_CACHED_ACTIONS]; /* numpy int64 0 .. 255 */

    /* this batch */
    er_slot_rows_t rows;
    uint32_t slot_number; /* for set_slot */
    int called;           /* whether any of the five was called */
    int resetting;        /* whether the envs are reset, and not stepped */
    er_object *actions;   /* sequence over the slice */
    /* Or, for one int64 an env, the numbers: to be handed over as ints of Python, or as numpy's,
     * of which the cached ones are made here and the rest by `actions`. */
    const int64_t *int_actions;
    int python_ints;
    uint32_t at; /* env under way: where an error came from */
    uint64_t slow_rows;
    int timing; /* whether this batch is timed */
    int64_t began_ns;
    int64_t env_ns; /* of this batch */

    /* Which env takes longest: now and then the time of one is taken, round and round. */
    uint32_t sampled; /* the next */
    uint32_t slowest; /* of this round */
    uint32_t spared;  /* batches until then */
    int64_t slowest_ns;
} er_steploop_t;

/* Points the loop to the actions of a batch, by the code of how they travel (er_command_t). Returns
 * 1, or 0 if Python has to read them and to set loop->actions. */
int er_steploop_find_actions(er_steploop_t *loop, uint32_t action);

/* Begins a batch into a slot: its first env is next, no env has an info or a final observation. */
void er_steploop_begin(er_steploop_t *loop, uint32_t slot);

/* The same, of a reset of all envs with neither seed nor options; it is not timed. */
void er_steploop_begin_reset(er_steploop_t *loop, uint32_t slot);

/* Steps or resets envs from loop->at on; when all are done, stores rewards and flags, and how long
 * the batch took if it is timed. 0: done. -1: a Python error is set, env loop->at raised it; the caller
 * records it, adds one to loop->at and calls again. */
int er_steploop_run(er_steploop_t *loop);

/* Begins with env i alone, which has no info or final observation yet: it is stepped, or reset. */
void er_steploop_begin_one(er_steploop_t *loop, uint32_t slot, uint32_t i, int resetting);

/* Steps or resets env loop->at, and stores its reward and flags. 0, or -1 with a Python error. */
int er_steploop_run_one(er_steploop_t *loop);

/* Notes how long a step of env i took, if it is the next whose time is wanted; 0 if an episode ended
 * with it, since resets would hide steps. */
void er_steploop_sample(er_steploop_t *loop, uint32_t i, int64_t ns);

/* Has the methods looked up again, which a reset may have replaced. 0, or -1 with a Python error. */
int er_steploop_rebind(er_steploop_t *loop);

/* Releases the cached action objects. */
void er_steploop_clear(er_steploop_t *loop);

#endif
