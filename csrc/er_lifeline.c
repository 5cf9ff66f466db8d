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
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
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

static _Noreturn void guard(pid_t worker, int pidfd, int fd, int64_t grace_ns) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    setsid(); /* who stops the worker's group does not stop this one */
    er_keep_only((const int[]){fd, pidfd}, 2);
    prctl(PR_SET_NAME, "envring-guard");
    struct pollfd ends[2] = {{.fd = fd, .events = 0, .revents = 0},
                             {.fd = pidfd, .events = POLLIN, .revents = 0}};
    while (poll(ends, 2, -1) < 0) {
        if (errno != EINTR) _exit(1);
    }
    if (!ends[1].revents) {
        kill(worker, SIGCONT);
        if (poll(&ends[1], 1, (int)(grace_ns / 1000000) + 500) == 0) kill(worker, SIGKILL);
    }
    _exit(0);
}

int er_lifeline_guard(int fd, int64_t grace_ns) {
    pid_t self = getpid();
    int pidfd = (int)syscall(SYS_pidfd_open, self, 0);
    if (pidfd < 0) return -errno;
    /* not a child of the worker's, whose env may wait for all its children */
    long r = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    if (r == 0) guard(self, pidfd, fd, grace_ns);
    r = r < 0 ? -errno : 0;
    close(pidfd);
    return (int)r;
}

int er_lifeline_cut(void) { return (int)er_load_relaxed(&cut); }
