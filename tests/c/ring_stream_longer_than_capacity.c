/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "check.h"
#include "er_doorbell.h"
#include "er_ring.h"

enum { CAPACITY = 16, LENGTH = 20000 };

static er_ring_t shared;
static uint8_t data[CAPACITY];
static er_bell_t filled, drained;

static uint8_t byte_at(uint64_t i) { return (uint8_t)(i * 7 + i / 256); }

static void *produce(void *unused) {
    (void)unused;
    er_ring_view_t in;
    er_wait_t policy = {0};
    CHECK_EQ(er_ring_open_producer(&in, &shared, data, CAPACITY), 0);
    uint64_t random = 2;
    for (uint64_t sent = 0; sent < LENGTH;) {
        uint8_t chunk[64];
        uint64_t length = 1 + next_random(&random) % sizeof chunk;
        if (length > LENGTH - sent) length = LENGTH - sent;
        for (uint64_t i = 0; i < length; i++) chunk[i] = byte_at(sent + i);
        for (uint64_t done = 0; done < length;) {
            uint32_t seen = er_bell_value(&drained); /* before looking for room */
            int64_t n = er_ring_write(&in, chunk + done, length - done);
            CHECK(n >= 0);
            done += (uint64_t)n;
            er_bell_ring(&filled);
            if (n == 0) CHECK_EQ(er_bell_wait(&drained, seen, &policy, generous()), 0);
        }
        sent += length;
    }
    return NULL;
}

/* A message longer than the ring goes through it: the producer stalls, the consumer drains. */
int main(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, produce, NULL), 0);
    er_ring_view_t out;
    er_wait_t policy = {.spin_ns = 2000, .yield_every = 4};
    CHECK_EQ(er_ring_open_consumer(&out, &shared, data, CAPACITY), 0);
    uint64_t random = 3;
    for (uint64_t got = 0; got < LENGTH;) {
        uint8_t chunk[CAPACITY];
        uint32_t seen = er_bell_value(&filled);
        int64_t n = er_ring_read(&out, chunk, 1 + next_random(&random) % CAPACITY);
        CHECK(n >= 0);
        for (int64_t i = 0; i < n; i++) CHECK_EQ(chunk[i], byte_at(got + (uint64_t)i));
        got += (uint64_t)n;
        if (n) {
            er_bell_ring(&drained);
        } else {
            CHECK_EQ(er_bell_wait(&filled, seen, &policy, generous()), 0);
        }
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(er_load_relaxed(&shared.head), LENGTH);
    return PASS;
}
