/* SPDX-License-Identifier: MIT
 *
 * Watch: rings the caller's bell when a worker's process ends.
 *
 * A caller that waits sleeps on its bell, which nobody rings for the dead. So a thread without
 * Python sleeps on the workers' pidfds and rings: the kernel wakes it when a process ends, and a
 * step costs nothing. Where there is no such thread, a wait's slices end soon enough.
 */
#ifndef ER_WATCH_H
#define ER_WATCH_H

#include <poll.h>
#include <pthread.h>

#include "er_doorbell.h"

typedef struct {
    er_bell_t *bell;
    struct pollfd *fds; /* pidfds; the last is `stop` */
    uint32_t count;     /* of pidfds */
    int stop;           /* an eventfd, or -1 while no thread runs */
    pthread_t thread;
    er_atomic32_t noticed; /* 1: some process has ended */
} er_watch_t;

/* Begins without a thread. `fds` has count + 1 entries, the caller's; their fd are pidfds or -1. */
void er_watch_open(er_watch_t *watch, er_bell_t *bell, struct pollfd *fds, uint32_t count);

/* Starts the thread, unless it runs. 0 or -errno. */
int er_watch_start(er_watch_t *watch);

/* Ends the thread and waits for its end, which takes no longer than a wake-up. */
void er_watch_stop(er_watch_t *watch);

/* In a forked copy, which has no thread: closes what the original uses to stop it. */
void er_watch_forget(er_watch_t *watch);

/* Whether some process has ended. */
int er_watch_noticed(er_watch_t *watch);

#endif
