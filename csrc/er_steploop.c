/* SPDX-License-Identifier: MIT */
#include "er_steploop.h"

#include <string.h>

#include "er_park.h"
#include "er_stats.h"
#include "er_stream.h"

/* Short batches whose time is not taken after one whose was: looking at the clock shows in them. */
#define SPARED_BATCHES 15

/* For what runs for each env, in two loops: one by the clock, and one that pays nothing for it. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Calls one of the five with (i, argument). A new reference. */
static er_object *call(er_steploop_t *loop, er_object *function, uint32_t i, er_object *argument) {
    const er_python_t *py = loop->py;
    if (!loop->called) {
        er_object *r = py->call_env(loop->set_slot, (long)loop->slot_number, py->false_);
        if (!r) return NULL;
        py->decref(r);
    }
    loop->called = 1;
    return py->call_env(function, (long)i, argument);
}

/* The same, and drops the result. 0 or -1. */
static int call_back(er_steploop_t *loop, er_object *function, uint32_t i, er_object *argument) {
    er_object *r = call(loop, function, i, argument);
    if (!r) return -1;
    loop->py->decref(r);
    return 0;
}

/* The action of env i, a new reference. */
ALWAYS_INLINE er_object *next_action(er_steploop_t *loop, uint32_t i) {
    const er_python_t *py = loop->py;
    if (!loop->int_actions) return py->get_item(loop->actions, i);
    int64_t value = loop->int_actions[i];
    if (loop->python_ints) return py->from_int64(value);
    if (value < 0 || value >= ER_CACHED_ACTIONS) return py->get_item(loop->actions, i);
    er_object *action = loop->action_cache[value];
    if (!action) {
        action = py->get_item(loop->actions, i);
        if (!action) return NULL;
        loop->action_cache[value] = action;
    }
    py->incref(action);
    return action;
}

/* 1, 0, or -1 with an error. */
static int truth(const er_python_t *py, er_object *flag) {
    if (flag == py->false_ || flag == py->numpy_false) return 0;
    if (flag == py->true_ || flag == py->numpy_true) return 1;
    return py->is_true(flag);
}

static int store_reward(er_steploop_t *loop, uint32_t i, er_object *reward) {
    const er_python_t *py = loop->py;
    er_object *type = er_type(py, reward);
    if (type == py->type_float) {
        loop->rewards[i] = py->as_double(reward);
        return 0;
    }
    if (er_is_int(py, type)) {
        int overflow = 0;
        int64_t value = py->as_int64(reward, &overflow);
        if (!overflow) {
            loop->rewards[i] = (double)value;
            return 0;
        }
    }
    er_object *number = call(loop, loop->to_reward, i, reward);
    if (!number) return -1;
    loop->rewards[i] = py->as_double(number);
    py->decref(number);
    return 0;
}

static int store_obs(er_steploop_t *loop, uint32_t i, er_object *obs) {
    uint64_t env = loop->first_env + i;
    if (loop->obs_plan && er_obs_write(loop->py, loop->obs_plan, &loop->rows, env, obs)) {
        return 0;
    }
    loop->slow_rows++;
    return call_back(loop, loop->store_obs, i, obs);
}

static int store_info(er_steploop_t *loop, uint32_t i, er_object *info) {
    const er_python_t *py = loop->py;
    uint64_t env = loop->first_env + i;
    if (er_type(py, info) == py->type_dict) {
        if (py->dict_size(info) == 0) return 0; /* its template id was cleared */
        int known = loop->env_template[i];
        if (known >= 0) {
            er_info_template_t *t = &loop->templates[known];
            if (er_info_write(py, t, loop->info_area, env, info)) {
                loop->template_ids[env] = t->template_id;
                return 0;
            }
        }
    }
    loop->slow_rows++;
    if (call_back(loop, loop->store_info, i, info) < 0) return -1;
    for (int t = 0; t < loop->num_templates; t++) {
        if (loop->templates[t].template_id == loop->template_ids[env]) loop->env_template[i] = t;
    }
    return 0;
}

/* Stores a step that ended no episode, or one that no reset follows at once. 0 or -1. */
static int store_step(er_steploop_t *loop, uint32_t i, er_object *obs, er_object *info) {
    const er_python_t *py = loop->py;
    if (store_obs(loop, i, obs) < 0 || store_info(loop, i, info) < 0) return -1;
    py->incref(obs);
    return py->list_set_item(loop->last_obs, i, obs);
}

static void store_flags(er_steploop_t *loop, uint32_t i, int terminated, int truncated) {
    int ended = terminated || truncated;
    loop->terminations[i] = (uint8_t)terminated;
    loop->truncations[i] = (uint8_t)truncated;
    loop->pending[i] = ended && loop->autoreset_mode == ER_NEXT_STEP;
}

/* Stores a tuple of five. 0 or -1. */
static int store_five(er_steploop_t *loop, uint32_t i, er_object *result) {
    const er_python_t *py = loop->py;
    er_object **items = er_tuple_items(py, result);
    int terminated = truth(py, items[2]);
    int truncated = terminated < 0 ? -1 : truth(py, items[3]);
    if (truncated < 0 || store_reward(loop, i, items[1]) < 0) return -1;
    if ((terminated || truncated) && loop->autoreset_mode == ER_SAME_STEP) {
        /* what the reference implementation stores of the reset counts as the env's time, too */
        int64_t start = loop->timing ? er_park_now() : 0;
        int r = call_back(loop, loop->finish_ended, i, result);
        if (loop->timing) loop->env_ns += er_park_now() - start;
        if (r < 0) return -1;
    } else if (store_step(loop, i, items[0], items[4]) < 0) {
        return -1;
    }
    store_flags(loop, i, terminated, truncated);
    return 0;
}

/* Stores a tuple of four. 0 or -1, or 1 for what to_result should look at first. */
ALWAYS_INLINE int store_four(er_steploop_t *loop, uint32_t i, er_object *result) {
    const er_python_t *py = loop->py;
    er_object **items = er_tuple_items(py, result);
    int done = truth(py, items[2]);
    if (done < 0) return -1;
    int truncated = 0;
    if (done) {
        if (loop->autoreset_mode == ER_SAME_STEP || er_type(py, items[3]) != py->type_dict) {
            return 1;
        }
        er_object *limit = py->dict_get(items[3], loop->truncated_key);
        truncated = limit ? truth(py, limit) : 0;
        if (truncated < 0) return -1;
    }
    if (store_reward(loop, i, items[1]) < 0) return -1;
    if (store_step(loop, i, items[0], items[3]) < 0) return -1;
    store_flags(loop, i, done && !truncated, truncated);
    return 0;
}

/* Stores what `step` returned. 0 or -1. */
ALWAYS_INLINE int store_result(er_steploop_t *loop, uint32_t i, er_object *result) {
    const er_python_t *py = loop->py;
    if (er_type(py, result) == py->type_tuple) {
        ptrdiff_t size = er_tuple_size(py, result);
        if (size == 5) return store_five(loop, i, result);
        if (size == 4 && loop->truncated_key) {
            int r = store_four(loop, i, result);
            if (r <= 0) return r;
        }
    }
    er_object *tuple = call(loop, loop->to_result, i, result);
    if (!tuple) return -1;
    int r = store_five(loop, i, tuple);
    py->decref(tuple);
    return r;
}

/* Resets env i, which the caller asked for or an end; with neither seed nor options. 0 or -1. */
static int reset_env(er_steploop_t *loop, uint32_t i) {
    const er_python_t *py = loop->py;
    int64_t start = loop->timing ? er_park_now() : 0;
    er_object *pair =
        py->call_env(loop->reset_env, (long)i, loop->resetting ? py->true_ : py->false_);
    if (loop->timing) loop->env_ns += er_park_now() - start;
    if (!pair) return -1;
    if (loop->resetting) loop->pending[i] = 0;
    er_object **items = er_tuple_items(py, pair);
    int r = store_step(loop, i, items[0], items[1]);
    py->decref(pair);
    if (r == 0) loop->pending[i] = 0;
    return r;
}

ALWAYS_INLINE int step_env(er_steploop_t *loop, uint32_t i, int timing) {
    const er_python_t *py = loop->py;
    loop->rewards[i] = 0.0;
    loop->terminations[i] = 0;
    loop->truncations[i] = 0;
    if (loop->pending[i]) return reset_env(loop, i);
    er_object *action = next_action(loop, i);
    if (!action) return -1;
    int64_t start = timing ? er_park_now() : 0;
    er_object *result = py->call_one(loop->steps[i], action);
    if (timing) loop->env_ns += er_park_now() - start;
    py->decref(action);
    if (!result) return -1;
    int r = store_result(loop, i, result);
    py->decref(result);
    return r;
}

int er_steploop_find_actions(er_steploop_t *loop, uint32_t action) {
    int in_slab = action == ER_ACTIONS_SLAB && loop->slab_actions;
    loop->python_ints = action == ER_ACTIONS_INTS && loop->slab_ints;
    loop->actions = loop->slab_actions;
    loop->int_actions = loop->python_ints ? loop->slab_ints : in_slab ? loop->slab_numbers : NULL;
    return loop->python_ints || in_slab;
}

static void find_slot(er_steploop_t *loop, uint32_t slot) {
    const er_segment_t *segment = loop->segment;
    uint32_t first = segment ? er_load_relaxed(&segment->time_first) : 0;
    er_slot_rows_t *rows = &loop->rows;
    loop->slot_number = slot;
    if (!first || slot < first) {
        *rows = (er_slot_rows_t){loop->slots + slot * loop->slot_bytes, 1, 0, 0};
        return;
    }
    rows->base = loop->slots + first * loop->slot_bytes;
    rows->stretch = er_load_relaxed(&segment->time_count);
    rows->first = (uint64_t)(slot - first) * segment->num_envs;
    rows->past_caches = rows->stretch * loop->slot_bytes > ER_CACHES_BYTES;
}

void er_steploop_begin(er_steploop_t *loop, uint32_t slot) {
    loop->timing = loop->timed && er_load_relaxed(loop->timed);
    if (loop->timing) {
        loop->env_ns = 0;
        loop->began_ns = er_park_now();
    }
    memset(loop->template_ids + loop->first_env, 0, loop->num_envs * sizeof *loop->template_ids);
    memset(loop->final_marks + loop->first_env, 0, loop->num_envs);
    find_slot(loop, slot);
    loop->called = 0;
    loop->resetting = 0;
    loop->at = 0;
}

void er_steploop_begin_reset(er_steploop_t *loop, uint32_t slot) {
    er_steploop_begin(loop, slot);
    loop->resetting = 1;
    loop->timing = 0;
    size_t n = loop->num_envs;
    memset(loop->rewards, 0, n * sizeof *loop->rewards);
    memset(loop->terminations, 0, n);
    memset(loop->truncations, 0, n);
}

static uint8_t *rewards_of(const er_steploop_t *loop, uint32_t env) {
    return er_slot_row(&loop->rows, loop->off_rewards, env, sizeof(double));
}

static void end(const er_steploop_t *loop) {
    uint32_t first = loop->first_env;
    uint32_t n = loop->num_envs;
    memcpy(rewards_of(loop, first), loop->rewards, n * sizeof(double));
    memcpy(er_slot_row(&loop->rows, loop->off_terminations, first, 1), loop->terminations, n);
    memcpy(er_slot_row(&loop->rows, loop->off_truncations, first, 1), loop->truncations, n);
    if (!loop->timing) return;
    er_stat_add(&loop->stats->env_ns, (uint64_t)loop->env_ns);
    er_stat_set(&loop->stats->began_ns, (uint64_t)loop->began_ns);
    er_stat_set(&loop->stats->ended_ns, (uint64_t)er_park_now());
}

static __attribute__((noinline)) int run_timed(er_steploop_t *loop) {
    for (; loop->at < loop->num_envs; loop->at++) {
        if (step_env(loop, loop->at, 1) < 0) return -1;
    }
    return 0;
}

static int run_until(er_steploop_t *loop, uint32_t end) {
    for (; loop->at < end; loop->at++) {
        if (step_env(loop, loop->at, 0) < 0) return -1;
    }
    return 0;
}

void er_steploop_sample(er_steploop_t *loop, uint32_t i, int64_t ns) {
    if (i != loop->sampled || !loop->stats) return;
    if (ns >= loop->slowest_ns) {
        loop->slowest = i;
        loop->slowest_ns = ns;
    }
    if (++loop->sampled < loop->num_envs) return;
    er_stat_set(&loop->stats->slowest, loop->slowest);
    er_stat_set(&loop->stats->slowest_ns, (uint64_t)loop->slowest_ns);
    loop->sampled = 0;
    loop->slowest_ns = 0;
}

static int run_untimed(er_steploop_t *loop) {
    uint32_t sampled = loop->sampled;
    if (!loop->stats || loop->spared || loop->at > sampled) {
        if (loop->spared) loop->spared--;
        return run_until(loop, loop->num_envs);
    }
    loop->spared = SPARED_BATCHES;
    if (run_until(loop, sampled) < 0) return -1;
    int resets = loop->pending[sampled];
    int64_t start = er_park_now();
    int r = run_until(loop, sampled + 1);
    int64_t ns = er_park_now() - start;
    resets |= loop->terminations[sampled] || loop->truncations[sampled];
    er_steploop_sample(loop, sampled, resets ? 0 : ns);
    return r < 0 ? r : run_until(loop, loop->num_envs);
}

static int run_reset(er_steploop_t *loop) {
    for (; loop->at < loop->num_envs; loop->at++) {
        if (reset_env(loop, loop->at) < 0) return -1;
    }
    return 0;
}

int er_steploop_run(er_steploop_t *loop) {
    int r = loop->resetting ? run_reset(loop) : loop->timing ? run_timed(loop) : run_untimed(loop);
    if (r < 0) return -1;
    end(loop);
    if (!loop->resetting) return 0;
    loop->resetting = 0;
    return er_steploop_rebind(loop);
}

int er_steploop_rebind(er_steploop_t *loop) {
    er_object *none = loop->py->call_env(loop->rebind, 0, loop->py->false_);
    if (!none) return -1;
    loop->py->decref(none);
    return 0;
}

void er_steploop_begin_one(er_steploop_t *loop, uint32_t slot, uint32_t i, int resetting) {
    uint32_t env = loop->first_env + i;
    loop->template_ids[env] = 0;
    loop->final_marks[env] = 0;
    find_slot(loop, slot);
    loop->called = 0;
    loop->resetting = resetting;
    loop->timing = 0;
    loop->at = i;
    loop->rewards[i] = 0.0;
    loop->terminations[i] = 0;
    loop->truncations[i] = 0;
}

int er_steploop_run_one(er_steploop_t *loop) {
    uint32_t i = loop->at;
    uint32_t env = loop->first_env + i;
    int r = loop->resetting ? reset_env(loop, i) : step_env(loop, i, 0);
    loop->resetting = 0;
    memcpy(rewards_of(loop, env), &loop->rewards[i], sizeof(double));
    *er_slot_row(&loop->rows, loop->off_terminations, env, 1) = loop->terminations[i];
    *er_slot_row(&loop->rows, loop->off_truncations, env, 1) = loop->truncations[i];
    return r;
}

void er_steploop_clear(er_steploop_t *loop) {
    for (int i = 0; i < ER_CACHED_ACTIONS; i++) {
        if (loop->action_cache[i]) loop->py->decref(loop->action_cache[i]);
        loop->action_cache[i] = NULL;
    }
}
