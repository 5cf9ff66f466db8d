/* SPDX-License-Identifier: MIT
 *
 * A worker is killed at a place in the real code, and another process takes its place: the batch
 * becomes complete, and later ones are as good as ever.
 */
#include "dying.h"

enum { WORKERS = 3, ENVS = 9, VICTIM = 1, LATER = 3 };

enum {
    ASLEEP = OTHER_PLACES, /* its command is not taken */
    IN_STEP,               /* its command is taken */
    IN_REPLY,              /* a part of its reply is in the ring */
    NONSENSE,              /* an env wrote into the positions of its rings */
};

static const int points[] = {ASLEEP,      IN_STEP,      IN_REPLY,     NONSENSE,
                             BEFORE_MARK, BEFORE_COUNT, BEFORE_WAKING};

static void work(rig_t *rig, uint32_t w, int batches) {
    er_worker_end_t *end = &rig->ends[w];
    er_command_t command;
    for (int i = 0; i < batches; i++) {
        CHECK_EQ(er_worker_next(end, &command, generous()), 0);
        er_worker_finish(end, command.seq);
    }
}

static void die_in(rig_t *rig, int point) {
    er_worker_end_t *end = &rig->ends[VICTIM];
    er_command_t command;
    die_at = point;
    if (point == ASLEEP) die();
    CHECK_EQ(er_worker_next(end, &command, generous()), 0);
    if (point == IN_REPLY) CHECK_EQ(er_ring_write(&end->replies, "half of it", 10), 10);
    if (point == NONSENSE) {
        er_store_release(&end->block->replies.tail, UINT64_C(1) << 60);
        er_store_release(&end->block->replies.head, 12345);
        er_store_release(&end->block->commands.head, UINT64_C(3) << 60);
        er_store_release(&end->block->commands.tail, 0);
    }
    if (point <= NONSENSE) die();
    er_worker_finish(end, command.seq);
    CHECK_EQ(point, BEFORE_WAKING); /* it was not the last one: nobody was to be woken */
    die();
}

/* Waits for a batch as a caller does, with bounded waits. */
static void wait_for(rig_t *rig) {
    int64_t deadline = generous();
    while (er_caller_wait(&rig->caller, deadline_in_ms(50)) != 0) CHECK(er_park_now() < deadline);
}

static pid_t start(rig_t *rig, uint32_t w, int batches) {
    pid_t pid = fork_child();
    if (pid == 0) {
        work(rig, w, batches);
        _exit(PASS);
    }
    return pid;
}

static void run(int point) {
    rig_t rig;
    rig_open(&rig, RIG_SHARED, ENVS, WORKERS);
    er_worker_end_t *end = &rig.ends[VICTIM];
    uint32_t first = end->first_env, slice = end->num_envs;
    pid_t pids[WORKERS];
    for (uint32_t w = 0; w < WORKERS; w++) {
        if (w != VICTIM) pids[w] = start(&rig, w, 1 + LATER);
    }
    pids[VICTIM] = fork_child();
    if (pids[VICTIM] == 0) die_in(&rig, point);
    uint32_t seq = rig_post(&rig, ER_OP_STEP, 0);
    int status;
    CHECK_EQ(waitpid(pids[VICTIM], &status, 0), pids[VICTIM]);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

    int owes = er_caller_replace(&rig.caller, VICTIM, first, slice);
    CHECK_EQ(owes, point <= NONSENSE);
    CHECK_EQ(er_ring_holds_some(&rig.replies[VICTIM]), 0);
    if (owes) {
        er_command_t command = {.op = ER_OP_STEP, .seq = seq};
        CHECK_EQ(er_caller_post(&rig.caller, VICTIM, &command), 0);
    }
    /* its successor opens its rings anew, and finds what it was sent */
    CHECK_EQ(er_worker_open(end, rig.segment, VICTIM, first, slice), 0);
    pids[VICTIM] = start(&rig, VICTIM, owes + LATER);
    wait_for(&rig);
    for (int i = 0; i < LATER; i++) {
        rig_post(&rig, ER_OP_STEP, 1);
        wait_for(&rig);
    }
    for (uint32_t w = 0; w < WORKERS; w++) {
        CHECK_EQ(waitpid(pids[w], &status, 0), pids[w]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == PASS);
    }
    rig_close(&rig);
}

/* A batch to which nobody will answer for some envs. */
static void excuse(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, ENVS, WORKERS);
    uint32_t seq = rig_post(&rig, ER_OP_MESSAGE, 0);
    for (uint32_t w = 0; w < WORKERS; w++) {
        if (w != VICTIM) er_worker_finish(&rig.ends[w], seq);
    }
    er_worker_end_t *end = &rig.ends[VICTIM];
    CHECK_EQ(er_caller_collect(&rig.caller), end->num_envs);
    CHECK_EQ(er_caller_replace(&rig.caller, VICTIM, end->first_env, end->num_envs), 1);
    er_caller_excuse(&rig.caller, end->first_env, end->num_envs);
    CHECK_EQ(er_caller_wait(&rig.caller, generous()), 0);
    CHECK_EQ(er_caller_replace(&rig.caller, WORKERS, 0, 1), -EINVAL);
    CHECK_EQ(er_caller_replace(&rig.caller, 0, ENVS - 1, 2), -EINVAL);
    CHECK_EQ(er_caller_replace(&rig.caller, 0, 0, 0), -EINVAL);
    rig_close(&rig);
}

int main(void) {
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) run(points[i]);
    excuse();
    return PASS;
}
