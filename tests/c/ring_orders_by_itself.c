/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>

#include "check.h"
#include "er_ring.h"

enum { CAPACITY = 16, RECORD = 12, RECORDS = 5000 };

static er_ring_t shared;
static uint8_t data[CAPACITY];

static void *produce(void *unused) {
    (void)unused;
    er_ring_view_t in;
    CHECK_EQ(er_ring_open_producer(&in, &shared, data, CAPACITY), 0);
    int64_t deadline = generous();
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint32_t record[RECORD / 4] = {i, ~i, i * 7};
        while (er_ring_put(&in, record, RECORD)) {
            CHECK(er_park_now() < deadline);
            sched_yield();
        }
    }
    return NULL;
}

/* No bell, no other synchronisation: the two positions alone make bytes safe to read and places
 * safe to overwrite (TSan's part). */
int main(void) {
    pthread_t thread;
    er_ring_view_t out;
    CHECK_EQ(pthread_create(&thread, NULL, produce, NULL), 0);
    CHECK_EQ(er_ring_open_consumer(&out, &shared, data, CAPACITY), 0);
    int64_t deadline = generous();
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint32_t record[RECORD / 4];
        while (er_ring_get(&out, record, RECORD)) {
            CHECK(er_park_now() < deadline);
            sched_yield();
        }
        CHECK(record[0] == i && record[1] == ~i && record[2] == i * 7);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return PASS;
}
