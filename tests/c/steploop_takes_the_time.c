/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "fake_slice.h"

#include "er_stats.h"

static fake_t *result(fake_t *done) {
    return FAKE_TUPLE(fake_float(3), fake_float(0.5), done, &fake_false,
                      fake_holding(&fake_dict_type, 0, NULL));
}

static fake_t *step_for_100(fake_t *self, long env, fake_t *action) {
    fake.now += 100;
    return fake_step_(self, env, action);
}

static fake_t *reset_for_1000(fake_t *self, long env, fake_t *argument) {
    fake.now += 1000;
    return fake_reset_env_(self, env, argument);
}

static fake_t *store_for_10(fake_t *self, long env, fake_t *argument) {
    fake.now += 10;
    return fake_store_obs_(self, env, argument);
}

static void batch(fake_slice_t *slice, fake_t *done) {
    CHECK_EQ(fake_slice_step(slice, done ? result(done) : NULL), 0);
}

int main(void) {
    er_atomic32_t timed = 0;
    er_stats_t stats;
    memset(&stats, 0, sizeof stats);
    fake_slice_t slice;
    fake_slice_open(&slice, ER_NEXT_STEP);
    slice.functions[0] = fake_function(step_for_100);
    slice.functions[1] = fake_function(reset_for_1000);
    slice.functions[3] = fake_function(store_for_10);

    fake.tick = 1; /* each look at the clock shows */
    batch(&slice, &fake_false);
    slice.loop.timed = &timed;
    slice.loop.stats = &stats;
    batch(&slice, &fake_false);
    CHECK_EQ(fake.now, 222); /* two looks, for which env is the slowest */
    CHECK_EQ(er_load_relaxed(&stats.ended_ns), 0);

    fake.tick = 0;
    fake.now = 5000;
    er_store_relaxed(&timed, 1);
    batch(&slice, &fake_false);
    CHECK_EQ(er_load_relaxed(&stats.env_ns), 100);
    CHECK_EQ(er_load_relaxed(&stats.began_ns), 5000);
    CHECK_EQ(er_load_relaxed(&stats.ended_ns), 5110);

    /* the end of an episode, and the reset in the step after it */
    batch(&slice, &fake_true);
    batch(&slice, NULL);
    CHECK_EQ(er_load_relaxed(&stats.env_ns), 100 + 100 + 1000);
    CHECK_EQ(er_load_relaxed(&stats.began_ns), 5220);
    CHECK_EQ(er_load_relaxed(&stats.ended_ns), 6230);

    /* an env that raises has taken its time, and the batch goes on behind it */
    er_steploop_begin(&slice.loop, 0);
    CHECK_EQ(er_steploop_run(&slice.loop), -1);
    fake_error = 0;
    slice.loop.at++;
    CHECK_EQ(er_steploop_run(&slice.loop), 0);
    CHECK_EQ(er_load_relaxed(&stats.env_ns), 1300);
    CHECK_EQ(er_load_relaxed(&stats.ended_ns), 6330);

    er_store_relaxed(&timed, 0);
    batch(&slice, &fake_false);
    CHECK_EQ(er_load_relaxed(&stats.env_ns), 1300);
    CHECK_EQ(er_load_relaxed(&stats.ended_ns), 6330);
    fake_slice_close(&slice);
    return PASS;
}
