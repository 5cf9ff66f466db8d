/* SPDX-License-Identifier: MIT */
#include "fake_slice.h"

static float numbers[2] = {1.5f, -2};
static intptr_t shape[1] = {2};
static const int64_t space_shape[1] = {2};

static fake_t *five(fake_t *obs, fake_t *reward, fake_t *terminated, fake_t *info) {
    return FAKE_TUPLE(obs, reward, terminated, &fake_false, info);
}

int main(void) {
    fake_slice_t slice;
    fake_t *key = fake_str("deep"), *inner = fake_str("x");
    er_obs_node_t plan = {
        .kind = ER_OBS_LEAF,
        .dtype = (er_object *)&fake_dtype,
        .ndim = 1,
        .shape = space_shape,
        .offset = 8,
        .nbytes = sizeof numbers,
    };
    er_info_entry_t entries[] = {
        {.kind = ER_INFO_DICT, .num_children = 1, .next = 2, .key = (er_object *)key},
        {.kind = ER_INFO_INT, .next = 2, .key = (er_object *)inner, .offset = 16, .nbytes = 8},
    };
    er_info_template_t infos = {.template_id = 7, .num_top = 1, .entries = entries};
    int64_t action = 5;

    fake_slice_open(&slice, ER_NEXT_STEP);
    slice.loop.obs_plan = &plan;
    slice.loop.templates = &infos;
    slice.loop.num_templates = 1;
    slice.template_of_env = 0;
    slice.loop.int_actions = &action;

    for (int i = 0; i < 3; i++) {
        fake_t *info =
            FAKE_DICT(fake_str("deep"), FAKE_DICT(fake_str("x"), fake_int(&fake_int_type, 40 + i)));
        fake_t *reward = i ? fake_int(i > 1 ? &fake_long_type : &fake_int_type, i) : fake_float(0);
        CHECK_EQ(
            fake_slice_step(&slice, five(fake_array(numbers, shape), reward, &fake_false, info)),
            0);
        CHECK(slice.reward == i);
        CHECK_EQ(memcmp(slice.slot + 8, numbers, sizeof numbers), 0);
        CHECK_EQ(slice.template_id, 7);
        int64_t column;
        memcpy(&column, slice.infos + 16, 8);
        CHECK_EQ(column, 40 + i);
    }
    CHECK_EQ(slice.loop.slow_rows, 0);
    CHECK(slice.loop.action_cache[5]);

    /* ints of Python's own are made one by one */
    action = 1000;
    slice.loop.python_ints = 1;
    fake_t *nothing = fake_holding(&fake_dict_type, 0, NULL);
    fake_t *one = five(fake_array(numbers, shape), fake_float(1), &fake_false, nothing);
    CHECK_EQ(fake_slice_step(&slice, one), 0);
    slice.loop.python_ints = 0;
    action = 5;

    /* all that fails on the way: a flag, an observation of another size, another info, no step */
    fake_t *empty = fake_holding(&fake_dict_type, 0, NULL);
    CHECK_EQ(fake_slice_step(&slice, five(fake_float(1), fake_float(1), fake_float(1), empty)), -1);
    shape[0] = 1;
    empty = FAKE_DICT(fake_str("deep"), fake_holding(&fake_dict_type, 0, NULL));
    fake_t *result = five(fake_array(numbers, shape), fake_float(1), &fake_false, empty);
    CHECK_EQ(fake_slice_step(&slice, result), 0);
    CHECK_EQ(slice.loop.slow_rows, 2);
    CHECK_EQ(fake_called[STORE_OBS], 1);
    CHECK_EQ(fake_called[STORE_INFO], 1);
    CHECK_EQ(fake_slice_step(&slice, fake_float(1)), -1);
    CHECK_EQ(fake_called[TO_RESULT], 1);
    CHECK_EQ(fake_slice_step(&slice, NULL), -1);
    slice.loop.int_actions = NULL;
    CHECK_EQ(fake_slice_step(&slice, NULL), -1);

    /* a reset of all */
    slice.pending = slice.terminated = 1;
    slice.reward = 3;
    er_steploop_begin_reset(&slice.loop, 0);
    CHECK_EQ(er_steploop_run(&slice.loop), 0);
    CHECK_EQ(fake_called[RESET_ENV], 1);
    CHECK_EQ(fake_called[STORE_OBS], 2);
    CHECK_EQ(fake_called[REBIND], 1);
    CHECK(!slice.pending && !slice.terminated && slice.reward == 0);

    fake_drop(key);
    fake_drop(inner);
    fake_slice_close(&slice);
    return PASS;
}
