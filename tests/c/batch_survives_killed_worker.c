/* SPDX-License-Identifier: MIT
 *
 * A worker is killed at a place in the real code: the caller learns of it, and of the others' results.
 */
#include "dying.h"

enum { WORKERS = 3, ENVS = 9, VICTIM = 1 };

enum { IN_STEP = OTHER_PLACES }; /* nothing is published */

static const int points[] = {IN_STEP, BEFORE_MARK, BEFORE_COUNT, BEFORE_WAKING, NOWHERE};

static void work(rig_t *rig, uint32_t w, int point) {
    er_worker_end_t *end = &rig->ends[w];
    er_command_t command;
    CHECK_EQ(er_worker_next(end, &command, generous()), 0);
    if (w == VICTIM) {
        /* is last, and the caller sleeps or is on the way there */
        er_atomic_i32_t *pending = &rig->segment->progress.pending;
        er_bell_t *bell = &rig->segment->caller_bell;
        int64_t deadline = generous();
        while (er_load_acquire(pending) != (int32_t)end->num_envs ||
               !(er_load_acquire(&bell->word) & 1)) {
            CHECK(er_park_now() < deadline);
            er_park_yield();
        }
        die_at = point;
        if (die_at == IN_STEP) die();
    }
    er_worker_finish(end, command.seq);
}

/* One worker of three is killed. The wait ends at its deadline, the caller then sees who died, and
 * every env of the others is counted; those of the dead one are if it had come so far. */
static void run(int point) {
    rig_t rig;
    rig_open(&rig, RIG_SHARED, ENVS, WORKERS);
    pid_t pids[WORKERS];
    for (uint32_t w = 0; w < WORKERS; w++) {
        pids[w] = fork_child();
        if (pids[w] == 0) {
            work(&rig, w, point);
            _exit(PASS);
        }
    }
    uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);

    int status, r, dead = 0;
    int64_t deadline = generous();
    do { /* what a caller does: bounded waits, between them a look for the dead */
        CHECK(er_park_now() < deadline);
        r = er_caller_wait(&rig.caller, deadline_in_ms(50));
        if (r < 0) CHECK_EQ(r, -ETIMEDOUT);
        dead = dead || waitpid(pids[VICTIM], &status, WNOHANG) == pids[VICTIM];
    } while (r != 0 && !dead);
    if (!dead) CHECK_EQ(waitpid(pids[VICTIM], &status, 0), pids[VICTIM]);
    for (uint32_t w = 0; w < WORKERS; w++) {
        int other;
        if (w == VICTIM) continue;
        CHECK_EQ(waitpid(pids[w], &other, 0), pids[w]);
        CHECK(WIFEXITED(other) && WEXITSTATUS(other) == PASS);
    }

    uint32_t left = er_caller_collect(&rig.caller);
    uint32_t slice = rig.ends[VICTIM].num_envs;
    CHECK_EQ(left, point == IN_STEP || point == BEFORE_MARK ? slice : 0);
    CHECK_EQ(er_load_acquire(&er_env_seq(rig.segment)[rig.ends[VICTIM].first_env]),
             point == IN_STEP ? 0 : seq);
    if (point == NOWHERE) {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == PASS);
    } else {
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }

    /* the survivors' part of the next batch is as good as ever */
    er_command_t command = {.op = ER_OP_MESSAGE};
    command.seq = er_caller_begin(&rig.caller, ENVS - slice);
    for (uint32_t w = 0; w < WORKERS; w++) {
        if (w == VICTIM) continue;
        CHECK_EQ(er_caller_post(&rig.caller, w, &command), 0);
        er_worker_finish(&rig.ends[w], command.seq);
    }
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    rig_close(&rig);
}

int main(void) {
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) run(points[i]);
    return PASS;
}
