/* SPDX-License-Identifier: MIT
 *
 * With a CPU to spare a worker leaves the caller's; with as many workers as CPUs it shares it, as it
 * does if it does not spin, or if its waits met a stranger's time slice a moment ago.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "er_spread.h"
#include "rig.h"

static int moves_off_the_caller(uint32_t num_workers, double spin, uint32_t strangers) {
    rig_t rig;
    rig_open(&rig, 0, num_workers, num_workers);
    er_spread_t spread;
    er_wait_t wait;
    er_wait_open(&wait, spin, 1, 16);
    er_spread_open(&spread, rig.segment, &wait);
    wait.strangers = strangers;
    int moved = 0;
    for (int batch = 1; batch <= 400 && !moved; batch++) {
        er_spread_caller(rig.segment, (uint32_t)batch * 8); /* each time here, as the worker is */
        er_spread(&spread, rig.segment, 0, &wait);
        moved = spread.pace.rests > 0;
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
    CHECK_EQ(moves_off_the_caller(1, 0.001, 0), 1);
    CHECK_EQ(moves_off_the_caller(2, 0.001, 0), 0);
    CHECK_EQ(moves_off_the_caller(1, 0.0, 0), 0);
    CHECK_EQ(moves_off_the_caller(1, 0.001, 1), 0);
    return 0;
}
