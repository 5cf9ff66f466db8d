/* SPDX-License-Identifier: MIT
 *
 * A worker that finds another one on its CPU moves to another, stays allowed on all, and gives up
 * trying where that does not help.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "er_park.h"
#include "er_spread.h"
#include "rig.h"

enum { LEAST_BATCHES = 3, LONG_NS = 200000000, LONGEST = 128000000, LONGEST_WITH_ROOM = 8000000 };

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
    int batches = 0; /* since the last move */
    int64_t begun = er_park_now();
    int64_t lasted = 0;
    while (moves < 3 || lasted < LONG_NS) {
        int64_t rests = spread.pace.rests;
        int64_t now = er_park_now();
        int here = sched_getcpu();
        first->cpu = (uint32_t)here + 1; /* wherever this one goes, the other is there already */
        batches++;
        er_spread(&spread, rig.segment, 1, &wait);
        lasted = er_park_now() - begun;
        if (spread.pace.rests <= now) continue;
        if (spread.pace.rests == rests) {
            batches = 0; /* the pause is not over */
            continue;
        }
        moves++;
        CHECK(batches >= LEAST_BATCHES); /* two looks, one in two batches */
        batches = 0;
        cpu_set_t after;
        CHECK(sched_getaffinity(0, sizeof after, &after) == 0);
        CHECK(CPU_EQUAL(&before, &after));
    }
    /* half a millisecond, and each pause is twice the one before, up to the longest */
    CHECK(moves <= (spread.from_caller ? 5 + lasted / LONGEST_WITH_ROOM : 9 + lasted / LONGEST));

    er_spread_open(&spread, rig.segment, &wait);
    first->cpu = 0;
    for (int batch = 0; batch < 1000; batch++) er_spread(&spread, rig.segment, 1, &wait);
    CHECK_EQ(spread.pace.pause_ns, 0); /* alone: nothing to leave */
    CHECK(er_worker(rig.segment, 1)->place.cpu != 0);

    rig_close(&rig);
    return 0;
}
