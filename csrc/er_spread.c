/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_spread.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "er_park.h"

#define BATCHES_PER_LOOK 2u
#define LOOKS_TO_BE_SURE 2u
#define LASTING 64u

/* Between moves that do not last. One in vain costs up to some milliseconds, and one that is not made
 * a part of each batch: so the pauses end by the clock, however seldom batches come. Where there is a
 * CPU for each, few moves are in vain. */
#define FIRST_PAUSE_NS INT64_C(500000)
#define LONGEST_PAUSE_NS INT64_C(128000000)
#define LONGEST_WITH_ROOM_NS INT64_C(8000000)

/* Among strangers a worker stays where it is: a move would be in vain. */
#define STAYS_NS INT64_C(1000000000)

/* Whether the CPU that a worker went to is crowded shows in how long it could have run there, but did
 * not: more than so large a part of the time, so many times in a row. */
#define CROWDED_LOOK_NS INT64_C(8000000)
#define CROWDED_PART 8
#define CROWDED_LOOKS 3u

/* Allows this thread some CPUs alone, for a moment: returns with the thread on one of them. */
static void move(const cpu_set_t *to) {
    cpu_set_t allowed;
    cpu_set_t wanted;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return;
    CPU_AND(&wanted, &allowed, to);
    if (CPU_COUNT(&wanted) == 0) return;
    if (sched_setaffinity(0, sizeof wanted, &wanted) == 0) {
        sched_setaffinity(0, sizeof allowed, &allowed);
    }
}

static void leave(int cpu) {
    cpu_set_t others;
    memset(&others, 0xFF, sizeof others);
    CPU_CLR(cpu, &others);
    move(&others);
}

static void join(int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    move(&one);
}

/* Whether it is time to look. */
static int looks(er_pace_t *pace) {
    if (++pace->batches < BATCHES_PER_LOOK) return 0;
    pace->batches = 0;
    return 1;
}

/* Whether a moment is still to come; one that is past is forgotten. */
static int is_ahead(int64_t *moment) {
    if (*moment && er_park_now() >= *moment) *moment = 0;
    return *moment != 0;
}

/* Whether to move, where a look has found a reason or none. */
static int moves(er_pace_t *pace, int reason, int64_t longest_ns) {
    if (!reason) {
        pace->seen = 0;
        /* The kernel balances its queues now and then; that is not a reason to stop moving. */
        if (++pace->well == LASTING) pace->pause_ns = 0;
        return 0;
    }
    pace->well = 0;
    if (++pace->seen < LOOKS_TO_BE_SURE) return 0;
    pace->seen = 0;
    pace->pause_ns = pace->pause_ns < FIRST_PAUSE_NS ? FIRST_PAUSE_NS : pace->pause_ns * 2;
    if (pace->pause_ns > longest_ns) pace->pause_ns = longest_ns;
    pace->rests = er_park_now() + pace->pause_ns;
    return 1;
}

static uint32_t here(void) {
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (uint32_t)cpu + 1;
}

/* Others read it all the time: what has not changed stays in their caches. */
static void tell(er_atomic32_t *word, uint32_t cpu) {
    if (er_load_relaxed(word) != cpu) er_store_relaxed(word, cpu);
}

void er_spread_open(er_spread_t *spread, const er_segment_t *segment, const er_wait_t *wait) {
    cpu_set_t allowed;
    *spread = (er_spread_t){0};
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return;
    uint32_t cpus = (uint32_t)CPU_COUNT(&allowed);
    spread->from_workers = segment->num_workers > 1 && segment->num_workers <= cpus;
    spread->from_caller = segment->num_workers < cpus && wait->spin_ns > 0;
}

void er_spread_caller(er_segment_t *segment, uint32_t seq) {
    if (seq % BATCHES_PER_LOOK == 0) tell(&segment->caller_place.cpu, here());
}

/* For how many ns so far something else ran although this thread could have; 0: it is not known. */
static int64_t delayed(void) {
    char text[80] = "";
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    char *ran = text;
    strtoll(text, &ran, 10);
    return strtoll(ran, NULL, 10);
}

/* Whether strangers keep a worker waiting on a CPU without its caller. With it they take turns. */
static int is_crowded(er_crowd_t *crowd, uint32_t cpu, uint32_t caller) {
    if (caller == 0 || caller == cpu) {
        *crowd = (er_crowd_t){0};
        return 0;
    }
    int64_t now = er_park_now();
    if (crowd->looked && now < crowd->looked + CROWDED_LOOK_NS) return 0;
    int64_t delay_ns = delayed();
    if (crowd->looked) {
        int64_t most = (now - crowd->looked) / CROWDED_PART;
        crowd->seen = delay_ns - crowd->delay_ns > most ? crowd->seen + 1 : 0;
    }
    crowd->looked = now;
    crowd->delay_ns = delay_ns;
    return crowd->seen == CROWDED_LOOKS;
}

/* Whether another process is on that CPU, so that this worker should leave it. What it reads may be
 * a batch old: a hint is enough. */
static int has_company(const er_spread_t *spread, const er_segment_t *segment, uint32_t worker,
                       uint32_t cpu) {
    if (spread->from_caller && er_load_relaxed(&segment->caller_place.cpu) == cpu) return 1;
    for (uint32_t w = 0; w < worker; w++) {
        if (er_load_relaxed(&er_worker(segment, w)->place.cpu) == cpu) return 1;
    }
    return 0;
}

void er_spread(er_spread_t *spread, const er_segment_t *segment, uint32_t worker,
               const er_wait_t *wait) {
    if (!spread->from_workers && !spread->from_caller) return;
    if (!looks(&spread->pace)) return;
    uint32_t cpu = here();
    if (cpu == 0) return;
    tell(&er_worker(segment, worker)->place.cpu, cpu);
    if (spread->strangers != wait->strangers) {
        spread->strangers = wait->strangers;
        spread->stays = er_park_now() + STAYS_NS;
    }
    if (is_ahead(&spread->stays)) return;
    uint32_t caller = er_load_relaxed(&segment->caller_place.cpu);
    if (spread->from_caller && is_crowded(&spread->crowd, cpu, caller)) {
        spread->stays = er_park_now() + STAYS_NS;
        spread->crowd = (er_crowd_t){0};
        if (caller <= CPU_SETSIZE) join((int)caller - 1);
        return;
    }
    if (is_ahead(&spread->pace.rests)) return;
    int64_t longest_ns = spread->from_caller ? LONGEST_WITH_ROOM_NS : LONGEST_PAUSE_NS;
    if (moves(&spread->pace, has_company(spread, segment, worker, cpu), longest_ns)) {
        leave((int)cpu - 1);
    }
}

void er_spread_apart(er_spread_t *spread, const er_segment_t *segment, int64_t idle_ns,
                     int64_t busy_ns) {
    spread->idle_ns += (idle_ns - spread->idle_ns) / 8;
    spread->busy_ns += (busy_ns - spread->busy_ns) / 8;
    if (!looks(&spread->apart)) return;
    if (is_ahead(&spread->apart.rests)) return;
    uint32_t cpu = here();
    int shared = cpu && cpu == er_load_relaxed(&segment->caller_place.cpu);
    if (moves(&spread->apart, shared && spread->idle_ns >= spread->busy_ns, LONGEST_PAUSE_NS)) {
        leave((int)cpu - 1);
    }
}

void er_follow(er_pace_t *pace, int fd) {
    int peer = -1;
    socklen_t size = sizeof peer;
    if (!looks(pace) || is_ahead(&pace->rests)) return;
    if (getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &peer, &size) < 0) return;
    if (peer < 0 || peer >= CPU_SETSIZE) return;
    if (moves(pace, here() != (uint32_t)peer + 1, LONGEST_WITH_ROOM_NS)) join(peer);
}
