/* SPDX-License-Identifier: MIT
 *
 * The real code with places to die in: this program's er_ready_mark and er_unpark stand before the
 * core's and kill the process on request.
 */
#define er_ready_mark real_ready_mark
#include "../../csrc/er_ready.c"
#undef er_ready_mark
#define er_unpark real_unpark
#include "../../csrc/er_park_linux.c"
#undef er_unpark

#include <signal.h>
#include <sys/wait.h>

#include "child.h"
#include "rig.h"

enum { WORKERS = 3, ENVS = 9, VICTIM = 1 };

static const enum {
    IN_STEP,       /* nothing is published */
    BEFORE_MARK,   /* the sequences are, the marks are not */
    BEFORE_COUNT,  /* the marks are, `pending` does not know */
    BEFORE_WAKING, /* the bell's word says rung, nobody was woken */
    NOWHERE,
} points[] = {IN_STEP, BEFORE_MARK, BEFORE_COUNT, BEFORE_WAKING, NOWHERE};

static int die_at = NOWHERE;

static void die(void) {
    raise(SIGKILL);
    _exit(FAIL);
}

void er_ready_mark(er_atomic64_t *words, uint32_t first, uint32_t count) {
    if (die_at == BEFORE_MARK) die();
    real_ready_mark(words, first, count);
    if (die_at == BEFORE_COUNT) die();
}

int er_unpark(er_atomic32_t *word) {
    if (die_at == BEFORE_WAKING) die();
    return real_unpark(word);
}

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
