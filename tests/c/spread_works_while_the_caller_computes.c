/* SPDX-License-Identifier: MIT
 *
 * With as many workers as CPUs, and envs that are sent for, a worker on the caller's CPU leaves it if
 * it has as much idle time as work; with less it stays.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "er_spread.h"
#include "rig.h"

static int moves_off_the_caller(int64_t idle_ns, int64_t busy_ns) {
    rig_t rig;
    rig_open(&rig, 0, 2, 2);
    er_spread_t spread;
    er_wait_t wait;
    er_wait_open(&wait, 0.001, 1, 16);
    er_spread_open(&spread, rig.segment, &wait);
    int moved = 0;
    for (int command = 1; command <= 400 && !moved; command++) {
        er_spread_caller(rig.segment, (uint32_t)command * 8); /* each time here, as the worker is */
        int before = sched_getcpu();
        er_spread_apart(&spread, rig.segment, idle_ns, busy_ns);
        moved = spread.apart.rests > 0;
        if (moved) CHECK(sched_getcpu() != before);
    }
    rig_close(&rig);
    return moved;
}

int main(void) {
    cpu_set_t allowed;
    cpu_set_t two;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    if (CPU_COUNT(&allowed) < 2) return 77;
    CPU_ZERO(&two);
    for (int cpu = 0; CPU_COUNT(&two) < 2; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &two);
    }
    CHECK(sched_setaffinity(0, sizeof two, &two) == 0);
    CHECK_EQ(moves_off_the_caller(150000, 100000), 1);
    CHECK_EQ(moves_off_the_caller(50000, 100000), 0);
    return 0;
}
