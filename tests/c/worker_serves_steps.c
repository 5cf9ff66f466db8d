/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "er_offsets.h"
#include "er_worker.h"
#include "fake_slice.h"
#include "rig.h"

static er_port_t port;
static int errors_cleared, locked = 1, slot_set;
static float numbers[1] = {4};
static intptr_t shape[1] = {1};
static const int64_t space_shape[1] = {1};

static er_object *call_function_obj_args(er_object *callable, ...) {
    (void)callable;
    return NULL;
}
static er_object *vectorcall_dict(er_object *callable, er_object *const *arguments, size_t count,
                                  er_object *keywords) {
    CHECK(count == (1 | (size_t)1 << 63));
    CHECK(!keywords);
    ((er_object **)(uintptr_t)arguments)[-1] = callable; /* a bound method may */
    return fake_call_env_(callable, -1, arguments[0]);
}
static er_object *err_occurred(void) { return fake_error ? (er_object *)&fake_none : NULL; }
static void err_clear(void) {
    fake_error = 0;
    errors_cleared++;
}
static er_object *dict_get_item(er_object *dict, er_object *key) {
    fake_error = ((fake_t *)key)->u.text[0] == '!';
    return fake_error ? NULL : fake_dict_get_(dict, key);
}
static int rich_compare_bool(er_object *a, er_object *b, int how) {
    CHECK_EQ(how, 2); /* Py_EQ */
    return fake_equal_(a, b);
}

static void *save_thread(void) {
    CHECK(locked);
    locked = 0;
    return &locked;
}
static void restore_thread(void *thread) {
    CHECK(thread == &locked && !locked);
    locked = 1;
}
static er_object *int_from_long(long number) {
    return (er_object *)fake_int(&fake_int_type, number);
}

static void bind(er_python_t *py, int with_vectorcall) {
    er_python_api_t api = {
        .call_function_obj_args = call_function_obj_args,
        .vectorcall_dict = with_vectorcall ? vectorcall_dict : NULL,
        .decref = fake_decref_,
        .dict_get_item_with_error = dict_get_item,
        .err_occurred = err_occurred,
        .err_clear = err_clear,
        .rich_compare_bool = rich_compare_bool,
        .int_from_long = int_from_long,
    };
    er_python_bind(py, &api);
    py->save_thread = save_thread;
    py->restore_thread = restore_thread;
}

static fake_t *result(double reward) {
    return FAKE_TUPLE(fake_array(numbers, shape), fake_float(reward), &fake_true, &fake_false,
                      fake_holding(&fake_dict_type, 0, NULL));
}

static int64_t action_seen;
static fake_t *step(fake_t *self, long env, fake_t *action) {
    CHECK(locked);
    action_seen = action->u.integer;
    CHECK(action->type == &fake_int_type);
    return fake_step_(self, env, action);
}

static fake_t *set_slot(fake_t *self, long slot, fake_t *argument) {
    (void)self, (void)argument;
    slot_set = (int)slot;
    return &fake_none;
}

static uint32_t post(rig_t *rig, uint32_t op, uint32_t slot, uint32_t action) {
    er_command_t command = {.op = op, .slot = slot, .action = action};
    command.seq = er_caller_begin(&rig->caller, 1);
    CHECK_EQ(er_caller_post(&rig->caller, 0, &command), 0);
    return command.seq;
}

static int serve(er_steploop_t *loop, int publish, int careful, int64_t timeout) {
    int r = er_port_serve(&port, loop, publish, careful, timeout);
    CHECK(locked);
    return r;
}

int main(void) {
    static uint32_t values[400];
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 1, 1);
    er_segment_t *segment = rig.segment;
    er_stats_t *stats = &er_worker(segment, 0)->stats;
    er_report_t *report = &er_worker(segment, 0)->report;
    CHECK(er_port_bytes() == sizeof port);
    CHECK_EQ(er_segment_abi(), ER_ABI);
    CHECK_EQ(er_struct_offsets(NULL, 0), er_struct_offsets(values, 400));
    CHECK_EQ(er_port_open(&port, segment, 1, 0, 1, 0, 0, 0), -EINVAL);
    CHECK_EQ(er_port_open(&port, segment, 0, 0, 1, 7, 1, 3), 0);
    CHECK_EQ(port.end.wait.spin_ns, 500000000);
    CHECK_EQ(port.end.wait.adaptive, 1);
    CHECK_EQ(port.end.wait.yield_every, 3);
    CHECK_EQ(er_port_open(&port, segment, 0, 0, 1, 0, 0, 0), 0);
    CHECK_EQ(port.end.wait.yield_every, 1);
    CHECK_EQ(er_port_next(&port, 0), -ETIMEDOUT);

    fake_slice_t slice;
    fake_slice_open(&slice, ER_DISABLED);
    bind(&slice.python, 1);
    slice.python.call_env = fake_call_env_;
    slice.functions[0] = fake_function(step);
    slice.functions[6] = fake_function(set_slot);
    er_obs_node_t plan = {
        .kind = ER_OBS_LEAF,
        .dtype = (er_object *)&fake_dtype,
        .ndim = 1,
        .shape = space_shape,
        .offset = 24,
        .nbytes = sizeof numbers,
    };
    slice.loop.obs_plan = &plan;
    er_steploop_t *loop = &slice.loop;
    loop->slots = er_slot(segment, 0);
    loop->slot_bytes = segment->slot_bytes;
    loop->final_marks = er_at(segment, segment->off_final_marks);
    loop->off_rewards = 0;
    loop->off_terminations = 16;
    loop->off_truncations = 17;
    loop->slab_ints = er_at(segment, segment->off_actions);
    *(int64_t *)er_at(segment, segment->off_actions) = 700;
    er_port_count_for(&port, loop);

    /* a step that calls nothing: stored, published, and waited for the next */
    post(&rig, ER_OP_STEP, 1, ER_ACTIONS_INTS);
    fake_result = result(0.5);
    loop->final_marks[0] = 9;
    slice.template_id = 9;
    CHECK_EQ(serve(loop, 0, 0, 0), -ETIMEDOUT);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK_EQ(slice.template_id, 0);
    CHECK_EQ(loop->final_marks[0], 0);
    CHECK_EQ(action_seen, 700);
    const uint8_t *stored = er_slot(segment, 1);
    CHECK(*(const double *)stored == 0.5);
    CHECK_EQ(stored[16], 1);
    CHECK_EQ(stored[17], 0);
    CHECK_EQ(memcmp(stored + 24, numbers, sizeof numbers), 0);
    CHECK_EQ(loop->slow_rows, 0);
    CHECK_EQ(er_load_relaxed(&stats->batches), 1);
    CHECK_EQ(er_load_relaxed(&stats->env_steps), 1);
    CHECK_EQ(er_load_relaxed(&stats->ended_ns), 0); /* not asked for */
    CHECK_EQ(er_load_relaxed(&stats->finished_ns[1]), 0);

    /* with the time that it took */
    er_store_relaxed(&segment->timed, 1);
    uint64_t start = (uint64_t)er_park_now();
    uint32_t seq = post(&rig, ER_OP_STEP, 1, ER_ACTIONS_INTS);
    fake_result = result(0.5);
    CHECK_EQ(serve(loop, 0, 0, 0), -ETIMEDOUT);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK(er_load_relaxed(&stats->began_ns) >= start);
    CHECK(er_load_relaxed(&stats->ended_ns) >=
          er_load_relaxed(&stats->began_ns) + er_load_relaxed(&stats->env_ns));
    CHECK(er_load_relaxed(&stats->finished_ns[seq & 1]) >= er_load_relaxed(&stats->ended_ns));
    CHECK_EQ(er_load_relaxed(&stats->finished_ns[~seq & 1]), 0);
    er_store_relaxed(&segment->timed, 0);

    /* one at which Python was called is published by the next call, when it has been looked at */
    seq = post(&rig, ER_OP_STEP, 1, ER_ACTIONS_INTS);
    shape[0] = 2;
    fake_result = result(0);
    CHECK_EQ(serve(loop, 0, 0, 0), ER_SERVED_STEP);
    CHECK_EQ(fake_called[STORE_OBS], 1);
    CHECK_EQ(slot_set, 1);
    CHECK_EQ(er_port_command(&port)->seq, seq);
    CHECK_EQ(er_caller_collect(&rig.caller), 1);
    CHECK_EQ(serve(loop, 1, 0, 0), -ETIMEDOUT);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    shape[0] = 1;
    post(&rig, ER_OP_STEP, 0, ER_ACTIONS_INTS);
    fake_result = result(0);
    CHECK_EQ(serve(loop, 0, 1, 0), ER_SERVED_STEP);
    CHECK_EQ(serve(loop, 1, 1, 0), -ETIMEDOUT);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK_EQ(fake_called[STORE_OBS], 1);

    /* an env that fails: the batch goes on behind it */
    post(&rig, ER_OP_STEP, 0, ER_ACTIONS_INTS);
    fake_result = NULL;
    CHECK_EQ(serve(loop, 0, 0, 0), -1);
    CHECK_EQ(loop->at, 0);
    loop->at++;
    slice.template_id = 3; /* of this batch: not cleared again */
    fake_error = 0;
    CHECK_EQ(er_steploop_run(loop), 0);
    CHECK_EQ(slice.template_id, 3);
    CHECK_EQ(er_load_relaxed(&stats->batches), 4);
    er_port_count_step(&port, loop);
    er_port_hint(&port, 1);
    er_port_hint(&port, 4);
    CHECK_EQ(er_port_finish(&port, er_port_command(&port)->seq, NULL, 0), 1);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK_EQ(report->hints, 5);
    CHECK_EQ(er_load_relaxed(&stats->batches), 5);
    CHECK_EQ(er_port_env_steps(&port), er_load_relaxed(&stats->env_steps));

    /* without the loop: what was done since then, once, and no reset */
    uint64_t steps = er_port_env_steps(&port), busy = er_load_relaxed(&stats->busy_ns);
    while (er_park_now() < port.since + 1000) {
    }
    er_port_count_since(&port, 3);
    busy = er_load_relaxed(&stats->busy_ns) - busy;
    CHECK(busy >= 1000);
    CHECK(busy < 10000000000u);
    CHECK_EQ(er_port_env_steps(&port), steps + 3);
    CHECK_EQ(er_load_relaxed(&stats->batches), 6);
    int64_t since = port.since;
    while (er_park_now() == since) {
    }
    er_port_count_since(&port, 0);
    CHECK(port.since > since);
    CHECK_EQ(er_port_env_steps(&port), steps + 3);

    /* a reset, which is not a step */
    int stored_before = fake_called[STORE_OBS];
    post(&rig, ER_OP_STEP, 0, ER_ACTIONS_RESET);
    loop->rewards[0] = 1;
    CHECK_EQ(serve(loop, 0, 0, 0), ER_SERVED_STEP); /* its observation is an odd one */
    CHECK_EQ(fake_called[STORE_OBS], stored_before + 1);
    CHECK_EQ(fake_called[REBIND], 1);
    CHECK(*(const double *)er_slot(segment, 0) == 0);
    CHECK_EQ(er_load_relaxed(&stats->batches), 6);
    CHECK_EQ(er_port_finish(&port, er_port_command(&port)->seq, NULL, 0), 1);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);

    /* what is not for the loop */
    post(&rig, ER_OP_STEP, 1, 1234);
    CHECK_EQ(serve(loop, 0, 0, 0), ER_SERVED_COMMAND);
    CHECK_EQ(er_port_command(&port)->action, 1234);
    post(&rig, ER_OP_STEP, 1, ER_ACTIONS_SLAB); /* no numbers there */
    CHECK_EQ(serve(loop, 0, 0, 0), ER_SERVED_COMMAND);
    post(&rig, ER_OP_MESSAGE, 1, ER_ACTIONS_INTS);
    CHECK_EQ(serve(loop, 0, 0, 0), ER_SERVED_COMMAND);
    CHECK_EQ(er_port_finish(&port, er_port_command(&port)->seq, "0123456789", 10), 1);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK_EQ(report->reply_bytes, 10);
    CHECK_EQ(report->hints, 0); /* only once */

    /* a key whose comparison fails is one that is not there */
    fake_t *dict = FAKE_DICT(fake_str("a"), fake_float(1)), *bad = fake_str("!");
    CHECK(!slice.python.dict_get((er_object *)dict, (er_object *)bad));
    CHECK_EQ(errors_cleared, 1);
    bind(&slice.python, 0);
    CHECK(!slice.python.call_one((er_object *)bad, (er_object *)dict));
    fake_drop(dict);
    fake_drop(bad);
    fake_slice_close(&slice);
    rig_close(&rig);
    return PASS;
}
