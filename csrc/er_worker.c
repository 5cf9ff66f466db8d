/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_worker.h"

#include <string.h>

#include "er_park.h"
#include "er_stats.h"

/* -- Python's functions ----------------------------------------------------------------------- */

static er_python_api_t python;

#define ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1)) /* PY_VECTORCALL_... */
#define EQUAL 2                                                  /* Py_EQ */

static er_object *call_one_by_vector(er_object *callable, er_object *argument) {
    er_object *stack[2] = {NULL, argument}; /* a bound method puts self into the first */
    return python.vectorcall_dict(callable, stack + 1, 1 | ARGUMENTS_OFFSET, NULL);
}

static er_object *call_one(er_object *callable, er_object *argument) {
    return python.call_function_obj_args(callable, argument, NULL);
}

static er_object *call_env(er_object *callable, long env, er_object *argument) {
    er_object *number = python.int_from_long(env);
    if (!number) return NULL;
    er_object *r = python.call_function_obj_args(callable, number, argument, NULL);
    python.decref(number);
    return r;
}

static er_object *from_int64(int64_t value) { return python.int_from_long((long)value); }

static er_object *dict_get(er_object *dict, er_object *key) {
    er_object *r = python.dict_get_item_with_error(dict, key);
    if (!r && python.err_occurred()) python.err_clear();
    return r;
}

static int equal(er_object *a, er_object *b) { return python.rich_compare_bool(a, b, EQUAL); }

void er_python_bind(er_python_t *py, const er_python_api_t *api) {
    python = *api;
    py->call_one = api->vectorcall_dict ? call_one_by_vector : call_one;
    py->call_env = call_env;
    py->from_int64 = from_int64;
    py->dict_get = dict_get;
    py->equal = equal;
}

/* -- layout ----------------------------------------------------------------------------------- */

#define AT(field) (uint32_t)offsetof(STRUCT, field)

int er_struct_offsets(uint32_t *values, int room) {
    static const uint32_t layout[] = {
#define STRUCT er_python_api_t
        sizeof(STRUCT),
        AT(call_function_obj_args),
        AT(vectorcall_dict),
        AT(int_from_long),
        AT(decref),
        AT(dict_get_item_with_error),
        AT(err_occurred),
        AT(err_clear),
        AT(rich_compare_bool),
        AT(save_thread),
        AT(restore_thread),
#undef STRUCT
#define STRUCT er_python_t
        sizeof(STRUCT),
        AT(incref),
        AT(decref),
        AT(call_one),
        AT(call_env),
        AT(get_item),
        AT(list_set_item),
        AT(is_true),
        AT(as_double),
        AT(as_int64),
        AT(from_int64),
        AT(dict_size),
        AT(dict_next),
        AT(dict_get),
        AT(equal),
        AT(type_tuple),
        AT(type_dict),
        AT(type_float),
        AT(type_int),
        AT(type_long),
        AT(type_str),
        AT(type_ndarray),
        AT(true_),
        AT(false_),
        AT(numpy_true),
        AT(numpy_false),
        AT(offset_type),
        AT(offset_tuple_size),
        AT(offset_tuple_items),
        AT(offset_scalar_value),
        AT(offset_array),
#undef STRUCT
#define STRUCT er_ndarray_t
        sizeof(STRUCT),
        AT(data),
        AT(nd),
        AT(dimensions),
        AT(strides),
        AT(base),
        AT(descr),
        AT(flags),
#undef STRUCT
#define STRUCT er_obs_node_t
        sizeof(STRUCT),
        AT(kind),
        AT(num_children),
        AT(next),
        AT(key),
        AT(dtype),
        AT(scalar),
        AT(scalar_kind),
        AT(ndim),
        AT(shape),
        AT(offset),
        AT(nbytes),
#undef STRUCT
#define STRUCT er_info_entry_t
        sizeof(STRUCT),
        AT(kind),
        AT(num_children),
        AT(next),
        AT(key),
        AT(type),
        AT(ndim),
        AT(shape),
        AT(offset),
        AT(nbytes),
#undef STRUCT
#define STRUCT er_info_template_t
        sizeof(STRUCT),
        AT(tid),
        AT(num_top),
        AT(entries),
#undef STRUCT
#define STRUCT er_steploop_t
        sizeof(STRUCT),
        AT(py),
        AT(autoreset_mode),
        AT(first_env),
        AT(num_envs),
        AT(steps),
        AT(last_obs),
        AT(pending),
        AT(rewards),
        AT(terminations),
        AT(truncations),
        AT(reset_ended),
        AT(finish_ended),
        AT(store_obs),
        AT(store_info),
        AT(to_result),
        AT(to_reward),
        AT(truncated_key),
        AT(set_slot),
        AT(obs_plan),
        AT(templates),
        AT(num_templates),
        AT(env_template),
        AT(tids),
        AT(info_area),
        AT(timed),
        AT(stats),
        AT(action_cache),
        AT(slot),
        AT(slot_number),
        AT(called),
        AT(actions),
        AT(int_actions),
        AT(python_ints),
        AT(at),
        AT(slow_rows),
        AT(timing),
        AT(began_ns),
        AT(env_ns),
#undef STRUCT
#define STRUCT er_worker_loop_t
        sizeof(STRUCT),
        AT(loop),
        AT(slots),
        AT(slot_bytes),
        AT(final_marks),
        AT(off_rewards),
        AT(off_terminations),
        AT(off_truncations),
        AT(actions),
        AT(numbers),
        AT(ints),
#undef STRUCT
#define STRUCT er_command_t
        sizeof(STRUCT),
        AT(op),
        AT(seq),
        AT(slot),
        AT(action),
#undef STRUCT
        ER_OBS_LEAF,
        ER_OBS_DICT,
        ER_OBS_TUPLE,
        ER_SCALAR_SIGNED,
        ER_SCALAR_UNSIGNED,
        ER_SCALAR_FLOAT,
        ER_INFO_FLOAT,
        ER_INFO_INT,
        ER_INFO_BOOL,
        ER_INFO_SCALAR,
        ER_INFO_ARRAY,
        ER_INFO_DICT,
        ER_ACTIONS_INTS,
        ER_SERVED_COMMAND,
        ER_SERVED_STEP,
    };
    int count = (int)(sizeof layout / sizeof *layout);
    for (int i = 0; i < count && i < room; i++) values[i] = layout[i];
    return count;
}

uint32_t er_segment_abi(void) { return ER_ABI; }

/* -- port ------------------------------------------------------------------------------------- */

uint64_t er_port_bytes(void) { return sizeof(er_port_t); }

const er_command_t *er_port_command(const er_port_t *port) { return &port->command; }

static er_stats_t *stats(const er_port_t *port) {
    return &er_worker(port->port.segment, port->port.worker)->stats;
}

int er_port_open(er_port_t *port, void *base, uint32_t worker, uint32_t first_env,
                 uint32_t num_envs) {
    memset(port, 0, sizeof *port);
    er_segment_t *segment = base;
    er_spread_open(&port->spread, segment);
    return er_worker_open(&port->port, segment, worker, first_env, num_envs);
}

void er_port_set_wait(er_port_t *port, uint32_t spin_ns, uint32_t adaptive, uint32_t yield_every) {
    er_wait_t *wait = &port->port.wait;
    memset(wait, 0, sizeof *wait);
    wait->spin_ns = spin_ns;
    wait->adaptive = adaptive;
    wait->yield_every = yield_every ? yield_every : 1;
}

int er_port_next(er_port_t *port, int64_t timeout_ns) {
    int64_t start = er_park_now();
    int r = er_worker_next(&port->port, &port->command, start + timeout_ns);
    if (r < 0) return r;
    port->since = er_park_now();
    er_stat_add(&stats(port)->wait_ns, (uint64_t)(port->since - start));
    er_stat_set(&stats(port)->spins, port->port.wait.spins);
    er_stat_set(&stats(port)->parks, port->port.wait.parks);
    return 0;
}

int64_t er_port_reply(er_port_t *port, const void *bytes, uint64_t count) {
    return er_ring_write(&port->port.replies, bytes, count);
}

int er_port_stall(er_port_t *port, int64_t timeout_ns) {
    return er_worker_stall(&port->port, er_park_now() + timeout_ns);
}

void er_port_finish(er_port_t *port, uint32_t seq, uint32_t hints, uint64_t reply_bytes) {
    er_report_t *report = &er_worker(port->port.segment, port->port.worker)->report;
    report->reply_bytes = reply_bytes;
    report->hints = hints;
    er_worker_finish(&port->port, seq);
    if (er_load_relaxed(&port->port.segment->timed)) {
        er_stat_set(&stats(port)->finished_ns[seq & 1], (uint64_t)er_park_now());
    }
}

void er_port_count(er_port_t *port, int64_t busy_ns, uint64_t env_steps) {
    er_stat_add(&stats(port)->busy_ns, (uint64_t)busy_ns);
    er_stat_add(&stats(port)->batches, 1);
    er_stat_add(&stats(port)->env_steps, env_steps);
}

/* -- loop ------------------------------------------------------------------------------------- */

void er_port_count_for(er_worker_loop_t *foreign, const er_port_t *port) {
    foreign->loop.timed = &port->port.segment->timed;
    foreign->loop.stats = stats(port);
}

int er_port_step(er_worker_loop_t *foreign, er_port_t *port, uint32_t slot) {
    er_steploop_t *loop = &foreign->loop;
    uint32_t first = loop->first_env;
    uint32_t n = loop->num_envs;
    uint8_t *to = foreign->slots + slot * foreign->slot_bytes;
    if (loop->at == 0) {
        er_steploop_begin(loop);
        memset(loop->tids + first, 0, n * sizeof *loop->tids);
        memset(foreign->final_marks + first, 0, n);
        loop->slot = to;
        loop->slot_number = slot;
        loop->called = 0;
    }
    if (er_steploop_run(loop) < 0) return -1;
    loop->at = 0;
    memcpy(to + foreign->off_rewards + first * sizeof(double), loop->rewards, n * sizeof(double));
    memcpy(to + foreign->off_terminations + first, loop->terminations, n);
    memcpy(to + foreign->off_truncations + first, loop->truncations, n);
    er_steploop_end(loop);
    if (port) {
        er_port_count(port, er_park_now() - port->since, n);
        er_stat_set(&stats(port)->slow_rows, loop->slow_rows);
    }
    return 0;
}

/* Points the loop to the actions of the command; 0 if Python has to read them. */
static int find_actions(er_worker_loop_t *foreign, const er_command_t *command) {
    er_steploop_t *loop = &foreign->loop;
    if (command->op != ER_OP_STEP) return 0;
    loop->python_ints = command->action == ER_ACTIONS_INTS;
    loop->int_actions = loop->python_ints ? foreign->ints : foreign->numbers;
    loop->actions = foreign->actions;
    if (loop->python_ints) return foreign->ints != NULL;
    return command->action == ER_ACTIONS_SLAB && foreign->actions;
}

int er_port_serve(er_worker_loop_t *foreign, er_port_t *port, int publish, int careful,
                  int64_t timeout_ns) {
    for (;; publish = 1) {
        void *thread = python.save_thread();
        if (publish) {
            er_port_finish(port, port->command.seq, 0, 0);
            er_spread(&port->spread, port->port.segment, port->port.worker);
        }
        int r = er_port_next(port, timeout_ns);
        python.restore_thread(thread);
        if (r < 0) return r;
        if (!find_actions(foreign, &port->command)) return ER_SERVED_COMMAND;
        if (er_port_step(foreign, port, port->command.slot) < 0) return -1;
        if (careful || foreign->loop.called) return ER_SERVED_STEP;
    }
}
