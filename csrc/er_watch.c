/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STACK_BYTES (128 * 1024)

void er_watch_open(er_watch_t *watch, er_bell_t *bell, struct pollfd *fds, uint32_t count) {
    watch->bell = bell;
    watch->fds = fds;
    watch->count = count;
    watch->stop = -1;
    er_store_relaxed(&watch->noticed, 0);
    for (uint32_t i = 0; i <= count; i++) fds[i].events = POLLIN;
}

static void *run(void *argument) {
    er_watch_t *watch = argument;
    struct pollfd *fds = watch->fds;
    prctl(PR_SET_NAME, "envring-watch");
    for (;;) {
        if (poll(fds, watch->count + 1, -1) < 0) {
            if (errno == EINTR) continue;
            return NULL;
        }
        if (fds[watch->count].revents) return NULL;
        for (uint32_t i = 0; i < watch->count; i++) {
            if (fds[i].fd >= 0 && fds[i].revents) fds[i].fd = -1; /* it is noticed once */
        }
        er_store_relaxed(&watch->noticed, 1); /* the bell carries it to the caller that it wakes */
        er_bell_ring(watch->bell);
    }
}

int er_watch_start(er_watch_t *watch) {
    if (watch->stop >= 0) return 0;
    int stop = eventfd(0, EFD_CLOEXEC);
    if (stop < 0) return -errno;
    watch->fds[watch->count].fd = stop;
    pthread_attr_t attributes;
    int r = pthread_attr_init(&attributes);
    if (r == 0) {
        pthread_attr_setstacksize(&attributes, STACK_BYTES);
        sigset_t all, before; /* signals of the process are for its own threads */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&watch->thread, &attributes, run, watch);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
    }
    if (r != 0) {
        close(stop);
        return -r;
    }
    watch->stop = stop;
    return 0;
}

void er_watch_stop(er_watch_t *watch) {
    if (watch->stop < 0) return;
    eventfd_write(watch->stop, 1);
    pthread_join(watch->thread, NULL);
    er_watch_forget(watch);
}

void er_watch_forget(er_watch_t *watch) {
    if (watch->stop >= 0) close(watch->stop);
    watch->stop = -1;
}

int er_watch_noticed(er_watch_t *watch) { return (int)er_load_relaxed(&watch->noticed); }
