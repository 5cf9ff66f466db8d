/* SPDX-License-Identifier: MIT
 *
 * One env for the step loop: what its `step` returns is set, what the loop calls back is counted.
 */
#ifndef FAKE_SLICE_H
#define FAKE_SLICE_H

#include "er_steploop.h"
#include "fake_python.h"

static fake_t *fake_result; /* handed out once */
static int fake_called[6];
enum { RESET_ENV, FINISH_ENDED, STORE_OBS, STORE_INFO, TO_RESULT, REBIND };

static inline fake_t *fake_step_(fake_t *self, long env, fake_t *action) {
    (void)self, (void)env, (void)action;
    fake_t *result = fake_result;
    fake_result = NULL;
    fake_error = !result;
    return result;
}

static inline fake_t *fake_set_slot_(fake_t *self, long slot, fake_t *argument) {
    (void)self, (void)slot, (void)argument;
    return &fake_none;
}

static inline fake_t *fake_count_(int which) {
    fake_called[which]++;
    return &fake_none;
}

static inline fake_t *fake_reset_env_(fake_t *self, long env, fake_t *argument) {
    (void)self, (void)env, (void)argument;
    fake_count_(RESET_ENV);
    return FAKE_TUPLE(fake_float(3), fake_holding(&fake_dict_type, 0, NULL));
}

static inline fake_t *fake_rebind_(fake_t *self, long zero, fake_t *argument) {
    (void)self, (void)zero, (void)argument;
    return fake_count_(REBIND);
}

static inline fake_t *fake_finish_ended_(fake_t *self, long env, fake_t *result) {
    (void)self, (void)env;
    CHECK_EQ(result->size, 5);
    return fake_count_(FINISH_ENDED);
}

static inline fake_t *fake_store_obs_(fake_t *self, long env, fake_t *argument) {
    (void)self, (void)env, (void)argument;
    return fake_count_(STORE_OBS);
}

static inline fake_t *fake_store_info_(fake_t *self, long env, fake_t *argument) {
    (void)self, (void)env, (void)argument;
    return fake_count_(STORE_INFO);
}

/* Makes five of four: ended, and truncated. Refuses all else. */
static inline fake_t *fake_to_result_(fake_t *self, long env, fake_t *result) {
    (void)self, (void)env;
    fake_count_(TO_RESULT);
    fake_error = result->type != &fake_tuple_type || result->size != 4;
    if (fake_error) return NULL;
    fake_t **items = result->u.items;
    return FAKE_TUPLE(fake_keep(items[0]), fake_keep(items[1]), &fake_false, &fake_true,
                      fake_keep(items[3]));
}

typedef struct {
    er_python_t python;
    er_steploop_t loop;
    fake_t functions[8];
    er_object *steps[1];
    fake_t last_obs;
    uint8_t pending, terminated, truncated, final_mark;
    double reward;
    int template_of_env;
    uint16_t template_id;
    uint8_t slot[64], infos[64];
} fake_slice_t;

static inline void fake_slice_open(fake_slice_t *slice, int autoreset_mode) {
    static const fake_call_t calls[] = {
        fake_step_,       fake_reset_env_, fake_finish_ended_, fake_store_obs_,
        fake_store_info_, fake_to_result_, fake_set_slot_,     fake_rebind_,
    };
    memset(slice, 0, sizeof *slice);
    memset(fake_called, 0, sizeof fake_called);
    for (int i = 0; i < 8; i++) slice->functions[i] = fake_function(calls[i]);
    slice->python = fake_python();
    slice->steps[0] = (er_object *)&slice->functions[0];
    slice->template_of_env = -1;
    slice->loop = (er_steploop_t){
        .py = &slice->python,
        .autoreset_mode = autoreset_mode,
        .num_envs = 1,
        .slots = slice->slot,
        .off_rewards = 32,
        .off_terminations = 40,
        .off_truncations = 41,
        .final_marks = &slice->final_mark,
        .template_ids = &slice->template_id,
        .info_area = slice->infos,
        .steps = slice->steps,
        .last_obs = (er_object *)&slice->last_obs,
        .pending = &slice->pending,
        .rewards = &slice->reward,
        .terminations = &slice->terminated,
        .truncations = &slice->truncated,
        .reset_env = (er_object *)&slice->functions[1],
        .finish_ended = (er_object *)&slice->functions[2],
        .store_obs = (er_object *)&slice->functions[3],
        .store_info = (er_object *)&slice->functions[4],
        .to_result = (er_object *)&slice->functions[5],
        .set_slot = (er_object *)&slice->functions[6],
        .rebind = (er_object *)&slice->functions[7],
        .env_template = &slice->template_of_env,
        .actions = (er_object *)&fake_none,
    };
}

/* A batch of one step; 0, or -1 for an exception. */
static inline int fake_slice_step(fake_slice_t *slice, fake_t *result) {
    fake_result = result;
    er_steploop_begin(&slice->loop, 0);
    int r = er_steploop_run(&slice->loop);
    CHECK_EQ(r, fake_error ? -1 : 0);
    fake_error = 0;
    return r;
}

/* Every reference that was taken must have been given back. */
static inline void fake_slice_close(fake_slice_t *slice) {
    er_steploop_clear(&slice->loop);
    if (slice->last_obs.u.items[0]) fake_drop(slice->last_obs.u.items[0]);
    CHECK_EQ(fake_alive, 0);
}

#endif
