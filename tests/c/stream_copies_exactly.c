/* SPDX-License-Identifier: MIT
 *
 * A copy past the caches writes what a usual one does, and nothing beside it, however it is aligned.
 */
#include "check.h"
#include "er_stream.h"

enum { ROOM = 3 * ER_STREAM_LEAST };

int main(void) {
    uint64_t random = 1;
    uint8_t *from = malloc(ROOM), *to = malloc(ROOM), *wanted = malloc(ROOM);
    CHECK(from && to && wanted);
    for (int i = 0; i < ROOM; i++) from[i] = (uint8_t)next_random(&random);
    for (int run = 0; run < 5000; run++) {
        uint64_t read = next_random(&random) % 70, at = next_random(&random) % 70;
        uint64_t nbytes = next_random(&random) % (ROOM - 70);
        if (run % 2) nbytes = ER_STREAM_LEAST - 70 + nbytes % 140;
        memset(to, run, ROOM);
        memset(wanted, run, ROOM);
        er_stream_copy(to + at, from + read, nbytes);
        memcpy(wanted + at, from + read, nbytes);
        CHECK(memcmp(to, wanted, ROOM) == 0);
    }
    free(from);
    free(to);
    free(wanted);
    return 0;
}
