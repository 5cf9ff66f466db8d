/* SPDX-License-Identifier: MIT
 *
 * A worker that left the caller's CPU for one on which another program computes comes back, and stays
 * for a while.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/wait.h>

#include "child.h"
#include "er_park.h"
#include "er_spread.h"
#include "rig.h"

#define PATIENCE_NS INT64_C(60000000000)

static cpu_set_t only(int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return one;
}

static pid_t compute_on(int cpu) {
    pid_t pid = fork_child();
    if (pid == 0) {
        cpu_set_t one = only(cpu);
        CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
        for (volatile int on = 1; on;) {
        }
    }
    return pid;
}

int main(void) {
    cpu_set_t allowed;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    if (CPU_COUNT(&allowed) < 2 || access("/proc/thread-self/schedstat", R_OK) < 0) return 77;
    int cpus[2];
    for (int cpu = 0, found = 0; found < 2; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) cpus[found++] = cpu;
    }
    CPU_ZERO(&allowed);
    for (int i = 0; i < 2; i++) CPU_SET(cpus[i], &allowed);
    CHECK(sched_setaffinity(0, sizeof allowed, &allowed) == 0);

    rig_t rig;
    rig_open(&rig, 0, 1, 1);
    er_spread_t spread;
    er_wait_t wait;
    er_wait_open(&wait, 0.001, 1, 16);
    er_spread_open(&spread, rig.segment, &wait);
    CHECK(spread.from_caller);
    rig.segment->caller_place.cpu = (uint32_t)cpus[0] + 1;

    pid_t strangers[2] = {compute_on(cpus[0]), compute_on(cpus[1])};
    int64_t begun = er_park_now();
    int was_seen = 0;
    for (int is_back = 0; !is_back;) {
        CHECK(er_park_now() < begun + PATIENCE_NS);
        spread.stays = 0;
        er_spread(&spread, rig.segment, 0, &wait);
        if (spread.crowd.seen) was_seen = 1; /* and it waits for more */
        if (spread.stays) is_back = sched_getcpu() == cpus[0];
    }
    CHECK(was_seen);
    CHECK(spread.stays > er_park_now());
    for (int i = 0; i < 2; i++) {
        kill(strangers[i], SIGKILL);
        CHECK(waitpid(strangers[i], NULL, 0) == strangers[i]);
    }

    /* where the caller is, nothing is a sign of strangers: they take turns */
    cpu_set_t one = only(cpus[0]);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    spread.stays = 0;
    for (int batch = 0; batch < 100; batch++) er_spread(&spread, rig.segment, 0, &wait);
    CHECK_EQ(spread.crowd.looked, 0);
    CHECK_EQ(spread.stays, 0);
    rig_close(&rig);
    return 0;
}
