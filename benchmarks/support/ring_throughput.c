/* SPDX-License-Identifier: MIT
 *
 *   ring_throughput ring|pipe RECORD_BYTES SECONDS
 *
 * One process writes records, another reads them, through a ring of a segment's size or through a
 * pipe. Prints the nanoseconds that a record took. Both yield when there is nothing to do, since
 * the ring is measured here, not the doorbell.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "er_ring.h"

enum { CAPACITY = 1 << 18, MOST = 1 << 20 };

typedef struct {
    er_ring_t positions;
    uint8_t data[CAPACITY];
} ring_t;

static uint8_t record[MOST];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The reader's place is 0, the writer's 1: of the CPUs that both may use, where there are two. */
static void stay(int place) {
    cpu_set_t may, one;
    if (sched_getaffinity(0, sizeof may, &may)) fail("affinity");
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &may) && place-- == 0) CPU_SET(cpu, &one);
    }
    if (CPU_COUNT(&one) && sched_setaffinity(0, sizeof one, &one)) fail("affinity");
}

static void write_ring(ring_t *ring, uint64_t bytes) {
    er_ring_view_t view;
    if (er_ring_open_producer(&view, &ring->positions, ring->data, CAPACITY)) fail("ring");
    for (uint64_t at = 0;;) {
        int64_t n = er_ring_write(&view, record + at, bytes - at);
        if (n < 0) fail("ring");
        if (n == 0) sched_yield();
        at += (uint64_t)n;
        if (at == bytes) at = 0;
    }
}

static void read_ring(er_ring_view_t *view, uint64_t bytes) {
    for (uint64_t at = 0; at < bytes;) {
        int64_t n = er_ring_read(view, record + at, bytes - at);
        if (n < 0) fail("ring");
        if (n == 0) sched_yield();
        at += (uint64_t)n;
    }
}

static void write_pipe(int fd, uint64_t bytes) {
    for (uint64_t at = 0;;) {
        ssize_t n = write(fd, record + at, bytes - at);
        if (n < 0) fail("pipe");
        at += (uint64_t)n;
        if (at == bytes) at = 0;
    }
}

static void read_pipe(int fd, uint64_t bytes) {
    for (uint64_t at = 0; at < bytes;) {
        ssize_t n = read(fd, record + at, bytes - at);
        if (n <= 0) fail("pipe");
        at += (uint64_t)n;
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int piped = strcmp(argv[1], "pipe") == 0;
    uint64_t bytes = strtoull(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    if (bytes == 0 || bytes > MOST) return 2;

    ring_t *ring =
        mmap(NULL, sizeof *ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fds[2];
    if (ring == MAP_FAILED || pipe(fds)) fail("start");
    pid_t parent = getpid(), child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) return 1;
        stay(1);
        if (piped) write_pipe(fds[1], bytes);
        write_ring(ring, bytes);
    }
    stay(0);
    er_ring_view_t view;
    if (er_ring_open_consumer(&view, &ring->positions, ring->data, CAPACITY)) fail("ring");

    /* The first tenth is not counted: the child starts, and pages are touched. */
    uint64_t records = 0, look = 1 + (1 << 14) / bytes;
    double begun = now(), start = 0, elapsed = 0;
    while (elapsed < seconds) {
        for (uint64_t i = 0; i < look; i++) {
            if (piped) {
                read_pipe(fds[0], bytes);
            } else {
                read_ring(&view, bytes);
            }
        }
        double moment = now();
        if (start == 0) {
            if (moment - begun >= seconds / 10) start = moment;
        } else {
            records += look;
            elapsed = moment - start;
        }
    }
    kill(child, SIGKILL);
    printf("%.3f\n", elapsed / (double)records * 1e9);
    return 0;
}
