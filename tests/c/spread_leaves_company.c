/* SPDX-License-Identifier: MIT
 *
 * A worker that finds another one on its CPU moves to another, stays allowed on all, and gives up
 * trying where that does not help.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "er_spread.h"
#include "rig.h"

enum { BATCHES_TO_MOVE = 4 };

int main(void) {
    cpu_set_t before;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    if (CPU_COUNT(&before) < 2) return 77;

    rig_t rig;
    rig_open(&rig, 0, 2, 2);
    er_wait_t wait;
    er_wait_open(&wait, 0.001, 1, 16);
    er_place_t *first = &er_worker(rig.segment, 0)->place;
    er_spread_t spread;
    er_spread_open(&spread, rig.segment, &wait);

    int moves = 0;
    int batches_of_last_move = 0;
    for (int batch = 1; batch <= 4000; batch++) {
        int here = sched_getcpu();
        first->cpu = (uint32_t)here + 1; /* wherever this one goes, the other is there already */
        uint32_t rest = spread.pace.rest;
        er_spread(&spread, rig.segment, 1, &wait);
        if (spread.pace.rest > rest) {
            moves++;
            CHECK(batches_of_last_move == 0 || batch - batches_of_last_move > BATCHES_TO_MOVE);
            batches_of_last_move = batch;
            cpu_set_t after;
            CHECK(sched_getaffinity(0, sizeof after, &after) == 0);
            CHECK(CPU_EQUAL(&before, &after));
        }
    }
    CHECK(moves >= 3);
    CHECK(moves <= 8); /* each pause is twice the one before */

    er_spread_open(&spread, rig.segment, &wait);
    first->cpu = 0;
    for (int batch = 0; batch < 1000; batch++) er_spread(&spread, rig.segment, 1, &wait);
    CHECK_EQ(spread.pace.pause, 0); /* alone: nothing to leave */
    CHECK(er_worker(rig.segment, 1)->place.cpu != 0);

    rig_close(&rig);
    return 0;
}
