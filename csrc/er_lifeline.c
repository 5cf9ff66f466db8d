/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_lifeline.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "er_atomic.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define MOST_FDS 65536 /* looked at where the kernel has no close_range */

static er_atomic32_t cut;

static void close_range_of(int first, int last) {
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
    if (last > MOST_FDS) last = MOST_FDS;
    for (int fd = first; fd <= last; fd++) close(fd);
}

int er_keep_only(const int *fds, int count) {
    if (unshare(CLONE_FILES) < 0) return 0;
    int first = 0;
    for (;;) { /* the next one that is kept, in rising order */
        int next = INT32_MAX;
        for (int i = 0; i < count; i++) {
            if (fds[i] >= first && fds[i] < next) next = fds[i];
        }
        close_range_of(first, next == INT32_MAX ? next : next - 1);
        if (next == INT32_MAX) return 1;
        first = next + 1;
    }
}

static void nothing(int signal_number) { (void)signal_number; }

/* A signal that is ignored by default wakes the main thread, if nothing else handles it. */
static void prepare_wake(void) {
    struct sigaction action;
    if (sigaction(SIGURG, NULL, &action) < 0 || action.sa_handler != SIG_DFL) return;
    memset(&action, 0, sizeof action);
    action.sa_handler = nothing;
    sigaction(SIGURG, &action, NULL);
}

int er_lifeline_watch(int fd, int64_t grace_ns) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* signals are for the env's threads */
    prepare_wake();
    prctl(PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0);
    struct pollfd end = {.fd = fd, .events = 0, .revents = 0}; /* hang-ups are reported unasked */
    while (poll(&end, 1, -1) < 0) {
        if (errno != EINTR) return -errno;
    }
    er_store_relaxed(&cut, 1);
    syscall(SYS_tgkill, getpid(), getpid(), SIGURG);
    struct timespec left = {.tv_sec = (time_t)(grace_ns / 1000000000),
                            .tv_nsec = (long)(grace_ns % 1000000000)};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
    kill(getpid(), SIGKILL);
    _exit(1); /* the first process of a container survives its own signals */
}

int er_lifeline_cut(void) { return (int)er_load_relaxed(&cut); }
