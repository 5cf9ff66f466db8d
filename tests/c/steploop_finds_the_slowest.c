/* SPDX-License-Identifier: MIT */
#include "fake_park.h"
#include "fake_slice.h"

static int64_t takes;

static fake_t *step_for_some(fake_t *self, long env, fake_t *action) {
    fake.now += takes;
    return fake_step_(self, env, action);
}

static fake_t *result(fake_t *done) {
    return FAKE_TUPLE(fake_float(3), fake_float(0.5), done, &fake_false,
                      fake_holding(&fake_dict_type, 0, NULL));
}

static void batch(fake_slice_t *slice, int64_t ns, fake_t *done) {
    takes = ns;
    slice->loop.spared = 0;
    CHECK_EQ(fake_slice_step(slice, done ? result(done) : NULL), 0);
}

int main(void) {
    er_stats_t stats;
    memset(&stats, 0, sizeof stats);
    fake_slice_t slice;
    fake_slice_open(&slice, ER_NEXT_STEP);
    slice.functions[0] = fake_function(step_for_some);
    batch(&slice, 100, &fake_false); /* nobody asks */
    slice.loop.stats = &stats;
    batch(&slice, 70, &fake_false);
    CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 70);
    batch(&slice, 50, &fake_false); /* each round begins anew */
    CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 50);
    CHECK_EQ(er_load_relaxed(&stats.slowest), 0);

    /* the end of an episode and the reset after it do not count */
    batch(&slice, 900, &fake_true);
    CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 0);
    batch(&slice, 900, NULL);
    CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 0);
    batch(&slice, 40, &fake_false);
    CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 40);

    /* most short batches are spared the look at the clock */
    takes = 60;
    for (int i = 0; i < 15; i++) {
        CHECK_EQ(fake_slice_step(&slice, result(&fake_false)), 0);
        CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 40);
    }
    CHECK_EQ(fake_slice_step(&slice, result(&fake_false)), 0);
    CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 60);
    batch(&slice, 40, &fake_false);

    /* a slice of four, of which the rounds are taken by hand */
    er_steploop_t *loop = &slice.loop;
    loop->num_envs = 4;
    static const int64_t times[] = {10, 30, 20, 25};
    for (uint32_t i = 0; i < 4; i++) {
        er_steploop_sample(loop, (i + 2) % 4, 99); /* not its turn */
        CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 40);
        er_steploop_sample(loop, i, times[i]);
    }
    CHECK_EQ(er_load_relaxed(&stats.slowest), 1);
    CHECK_EQ(er_load_relaxed(&stats.slowest_ns), 30);
    loop->num_envs = 1;
    fake_slice_close(&slice);
    return PASS;
}
