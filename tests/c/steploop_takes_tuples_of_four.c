/* SPDX-License-Identifier: MIT */
#include "fake_slice.h"

static fake_t *four(fake_t *done, fake_t *info) {
    return FAKE_TUPLE(fake_float(3), fake_float(0.5), done, info);
}

static fake_t *no_info(void) { return fake_holding(&fake_dict_type, 0, NULL); }

static fake_t *limit(fake_t *truncated) {
    return FAKE_DICT(fake_str("other"), fake_float(1), fake_str("limit"), truncated);
}

static void check(fake_slice_t *slice, int terminated, int truncated) {
    CHECK_EQ(slice->terminated, terminated);
    CHECK_EQ(slice->truncated, truncated);
    CHECK(slice->reward == 0.5);
}

int main(void) {
    fake_slice_t slice;
    fake_slice_open(&slice, ER_DISABLED);
    fake_t *key = fake_str("limit");
    slice.loop.truncated_key = (er_object *)key;

    CHECK_EQ(fake_slice_step(&slice, four(&fake_false, no_info())), 0);
    check(&slice, 0, 0);
    CHECK_EQ(fake_slice_step(&slice, four(&fake_true, no_info())), 0);
    check(&slice, 1, 0);
    CHECK_EQ(fake_slice_step(&slice, four(&fake_true, limit(&fake_true))), 0);
    check(&slice, 0, 1);
    CHECK_EQ(fake_slice_step(&slice, four(&fake_true, limit(&fake_false))), 0);
    check(&slice, 1, 0);
    CHECK_EQ(fake_slice_step(&slice, four(&fake_false, limit(&fake_true))), 0);
    check(&slice, 0, 0); /* not done: what the limit says does not count */
    CHECK_EQ(fake_called[TO_RESULT], 0);
    CHECK_EQ(fake_called[STORE_INFO], 3);

    /* flags without a truth */
    CHECK_EQ(fake_slice_step(&slice, four(fake_float(1), no_info())), -1);
    CHECK_EQ(fake_slice_step(&slice, four(&fake_true, limit(fake_float(1)))), -1);

    /* an info that is no dict, when it is asked */
    CHECK_EQ(fake_slice_step(&slice, four(&fake_false, fake_float(1))), 0);
    CHECK_EQ(fake_called[TO_RESULT], 0);
    CHECK_EQ(fake_slice_step(&slice, four(&fake_true, fake_float(1))), 0);
    CHECK_EQ(fake_called[TO_RESULT], 1);
    check(&slice, 0, 1);

    /* the end of an episode that a reset follows at once wants five */
    slice.loop.autoreset_mode = ER_SAME_STEP;
    CHECK_EQ(fake_slice_step(&slice, four(&fake_true, no_info())), 0);
    CHECK_EQ(fake_called[TO_RESULT], 2);
    CHECK_EQ(fake_called[FINISH_ENDED], 1);
    CHECK_EQ(slice.pending, 0);

    slice.loop.autoreset_mode = ER_NEXT_STEP;
    CHECK_EQ(fake_slice_step(&slice, four(&fake_true, limit(&fake_true))), 0);
    CHECK_EQ(slice.pending, 1);
    CHECK_EQ(fake_slice_step(&slice, NULL), 0); /* does not step */
    CHECK_EQ(fake_called[RESET_ENV], 1);
    CHECK_EQ(slice.pending, 0);

    /* where they are not allowed, to_result says so */
    slice.loop.truncated_key = NULL;
    fake_called[TO_RESULT] = 0;
    slice.functions[5] = fake_function(fake_step_);
    CHECK_EQ(fake_slice_step(&slice, four(&fake_false, no_info())), -1);

    fake_drop(key);
    fake_slice_close(&slice);
    return PASS;
}
