/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "er_foreign.h"
#include "fake_slice.h"
#include "rig.h"

static er_foreign_port_t port;
static int errors_cleared;

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

static void bind(er_python_t *py, int with_vectorcall) {
    er_foreign_api_t api = {
        .call_function_obj_args = call_function_obj_args,
        .vectorcall_dict = with_vectorcall ? vectorcall_dict : NULL,
        .decref = fake_decref_,
        .dict_get_item_with_error = dict_get_item,
        .err_occurred = err_occurred,
        .err_clear = err_clear,
        .rich_compare_bool = rich_compare_bool,
    };
    er_foreign_bind(py, &api);
}

static fake_t *result(double reward) {
    return FAKE_TUPLE(fake_float(1), fake_float(reward), &fake_true, &fake_false,
                      fake_holding(&fake_dict_type, 0, NULL));
}

int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 1, 1);
    er_segment_t *segment = rig.segment;
    CHECK(er_foreign_port_bytes() == sizeof port);
    CHECK_EQ(er_foreign_abi(), ER_ABI);
    CHECK_EQ(er_foreign_open(&port, segment, 1, 0, 1), -EINVAL);
    CHECK_EQ(er_foreign_open(&port, segment, 0, 0, 1), 0);
    er_foreign_set_wait(&port, 0, 0, 0);
    CHECK_EQ(er_foreign_next(&port, 0), -ETIMEDOUT);

    fake_slice_t slice;
    fake_slice_open(&slice, ER_DISABLED);
    bind(&slice.python, 1);
    slice.python.call_env = fake_call_env_;
    er_foreign_loop_t foreign = {
        .loop = slice.loop,
        .slots = er_slot(segment, 0),
        .slot_bytes = segment->slot_bytes,
        .final_marks = er_at(segment, segment->off_final_marks),
        .off_rewards = 0,
        .off_terminations = 16,
        .off_truncations = 17,
    };

    uint32_t seq = rig_post(&rig, ER_OP_STEP, 1);
    CHECK_EQ(er_foreign_next(&port, 1000000000), 1 << 2 | ER_GOT_STEP);
    CHECK_EQ(er_foreign_command(&port)->seq, seq);
    fake_result = result(0.5);
    foreign.final_marks[0] = 9;
    slice.tid = 9;
    CHECK_EQ(er_foreign_step(&foreign, &port, 1), 0);
    CHECK_EQ(slice.tid, 0);
    CHECK_EQ(foreign.final_marks[0], 0);
    const uint8_t *stored = er_slot(segment, 1);
    CHECK(*(const double *)stored == 0.5);
    CHECK_EQ(stored[16], 1);
    CHECK_EQ(stored[17], 0);
    CHECK_EQ(er_load_relaxed(er_env_seq(segment)), 0); /* published by the second call alone */
    CHECK_EQ(er_foreign_go_on(&port, 0), -ETIMEDOUT);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);

    /* an env that fails: the batch goes on behind it */
    rig_post(&rig, ER_OP_STEP, 0);
    CHECK_EQ(er_foreign_next(&port, 0), 0 << 2 | ER_GOT_STEP);
    fake_result = NULL;
    CHECK_EQ(er_foreign_step(&foreign, NULL, 0), -1);
    CHECK_EQ(foreign.loop.at, 0);
    foreign.loop.at++;
    slice.tid = 3; /* of this batch: not cleared again */
    fake_error = 0;
    CHECK_EQ(er_foreign_step(&foreign, NULL, 0), 0);
    CHECK_EQ(slice.tid, 3);
    CHECK_EQ(foreign.loop.at, 0);
    er_foreign_finish(&port, er_foreign_command(&port)->seq, 5, 0);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK_EQ(er_worker(segment, 0)->report.hints, 5);

    /* anything else than a step in the spaces' dtypes is told apart */
    rig_post(&rig, ER_OP_MESSAGE, 1);
    CHECK_EQ(er_foreign_next(&port, 0), 1 << 2 | ER_GOT_OTHER);
    CHECK_EQ(er_foreign_reply(&port, "0123456789", 10), 10);
    CHECK_EQ(er_foreign_stall(&port, 0), -ETIMEDOUT);
    er_foreign_finish(&port, er_foreign_command(&port)->seq, 0, 10);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK_EQ(er_worker(segment, 0)->report.reply_bytes, 10);
    CHECK_EQ(er_load_relaxed(&er_worker(segment, 0)->stats.batches), 1);
    CHECK_EQ(er_load_relaxed(&er_worker(segment, 0)->stats.env_steps), 1);

    /* a key whose comparison fails is one that is not there */
    fake_t *dict = FAKE_DICT(fake_str("a"), fake_float(1)), *bad = fake_str("!");
    CHECK(!slice.python.dict_get((er_object *)dict, (er_object *)bad));
    CHECK_EQ(errors_cleared, 1);
    bind(&slice.python, 0);
    CHECK(!slice.python.call_one((er_object *)bad, (er_object *)dict));
    fake_drop(dict);
    fake_drop(bad);
    slice.loop = foreign.loop;
    fake_slice_close(&slice);
    rig_close(&rig);
    return PASS;
}
