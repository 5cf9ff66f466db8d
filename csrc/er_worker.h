/* SPDX-License-Identifier: MIT
 *
 * The core for an interpreter that it was not built for: what ctypes calls.
 *
 * er_port_step and er_port_serve touch objects: they are called with the interpreter's lock held
 * (ctypes.PyDLL), and serving gives it up while it waits. All others do without it (ctypes.CDLL). The
 * Python side fills in the structs, so it mirrors them: er_struct_offsets says where this build has
 * their fields, and a library that has them elsewhere is not used.
 *
 * The functions of the step loop's table that no version of Python has under one name and signature
 * are put together here from those it has. They find them in one static table: a process has one
 * interpreter.
 */
#ifndef ER_WORKER_H
#define ER_WORKER_H

#include "er_batch.h"
#include "er_spread.h"
#include "er_steploop.h"

/* Addresses of Python's functions; those marked may be NULL. */
typedef struct {
    er_object *(*call_function_obj_args)(er_object *, ...);
    er_object *(*vectorcall_dict)(er_object *, er_object *const *, size_t, er_object *); /* 3.9 */
    er_object *(*int_from_long)(long);
    void (*decref)(er_object *);
    er_object *(*dict_get_item_with_error)(er_object *, er_object *);
    er_object *(*err_occurred)(void); /* borrowed */
    void (*err_clear)(void);
    int (*rich_compare_bool)(er_object *, er_object *, int);
    void *(*save_thread)(void); /* lets go of the lock */
    void (*restore_thread)(void *);
} er_python_api_t;

/* Fills in call_one, call_env, from_int64, dict_get and equal; the rest is the caller's. */
void er_python_bind(er_python_t *py, const er_python_api_t *api);

/* sizeof and every offsetof of the structs that are mirrored, struct by struct, in the order of
 * their fields; then the kinds of nodes, of scalars and of infos. Stores at most `room` of them and returns how many there are. */
int er_struct_offsets(uint32_t *values, int room);

uint32_t er_segment_abi(void);

/* -- port ------------------------------------------------------------------------------------- */

typedef struct {
    er_worker_end_t port;
    er_command_t command; /* the last one taken */
    er_spread_t spread;
    int64_t since; /* when it was taken */
} er_port_t;

uint64_t er_port_bytes(void);
const er_command_t *er_port_command(const er_port_t *port);

/* 0 or -errno. */
int er_port_open(er_port_t *port, void *base, uint32_t worker, uint32_t first_env,
                 uint32_t num_envs);
void er_port_set_wait(er_port_t *port, uint32_t spin_ns, uint32_t adaptive, uint32_t yield_every);

/* Waits for a command at most timeout_ns, and leaves it in port->command. 0 or -errno. */
int er_port_next(er_port_t *port, int64_t timeout_ns);

/* Hands over bytes of a reply; how many went, or -errno. */
int64_t er_port_reply(er_port_t *port, const void *bytes, uint64_t count);
int er_port_stall(er_port_t *port, int64_t timeout_ns);

/* Publishes batch `seq`. */
void er_port_finish(er_port_t *port, uint32_t seq, uint32_t hints, uint64_t reply_bytes);
void er_port_count(er_port_t *port, int64_t busy_ns, uint64_t env_steps);

/* -- loop ------------------------------------------------------------------------------------- */

typedef struct {
    er_steploop_t loop;
    uint8_t *slots;
    uint64_t slot_bytes;
    uint8_t *final_marks; /* per global env */
    uint64_t off_rewards; /* these three: in a slot */
    uint64_t off_terminations;
    uint64_t off_truncations;
    er_object *actions; /* the slab's slice as an array, if it holds a number per env, or NULL */
    const int64_t *numbers; /* its numbers, if they are int64 */
    const int64_t *ints; /* the slab's numbers where actions travel as ER_ACTIONS_INTS, or NULL */
} er_worker_loop_t;

/* The loop's times count as the port's worker's from now on. */
void er_port_count_for(er_worker_loop_t *foreign, const er_port_t *port);

/* Steps the slice into a slot, from loop.at on, and leaves loop.at at 0. The time counts as the
 * port's unless that is NULL. 0, or -1 as er_steploop_run. */
int er_port_step(er_worker_loop_t *foreign, er_port_t *port, uint32_t slot);

enum { ER_SERVED_COMMAND = 1, ER_SERVED_STEP = 2 };

/* Steps and publishes as long as nobody has to look. Returns
 *
 *   -errno              of the wait
 *   ER_SERVED_COMMAND   port->command is not for this loop: no step, or with other actions
 *   ER_SERVED_STEP      a step is done and not yet published: Python was called on the way, or
 *                       careful asks for each
 *   -1, error set       as er_port_step; it is to be called again for the rest of the batch
 *
 * With `publish` it begins with publishing the step under way, which has no reply. */
int er_port_serve(er_worker_loop_t *foreign, er_port_t *port, int publish, int careful,
                  int64_t timeout_ns);

#endif
