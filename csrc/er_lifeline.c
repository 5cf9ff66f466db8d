/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t cut;
static int watched = -1;
static int timer_id;
static int timer_armed;
static struct itimerspec grace;

static void on_signal(int signal_number) {
    (void)signal_number;
    cut = 1;
    /* raw system call: async-signal-safe, and no symbol that an old libc lacks */
    if (timer_armed) syscall(SYS_timer_settime, timer_id, 0, &grace, NULL);
}

/* Signals are asked for per open file, not per process, and all workers inherit the same one: each
 * opens the pipe anew. Where /proc is missing this returns fd itself, and looking must do. */
static int open_anew(int fd) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (own < 0) return fd;
    close(fd);
    return own;
}

static int at_end(int fd) {
    struct pollfd end = {.fd = fd, .events = POLLIN, .revents = 0};
    return poll(&end, 1, 0) > 0;
}

int er_lifeline_arm(int fd, int64_t grace_ns) {
    watched = fd = open_anew(fd);
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGKILL;
    grace.it_value.tv_sec = (time_t)(grace_ns / 1000000000);
    grace.it_value.tv_nsec = (long)(grace_ns % 1000000000);
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer_id) < 0) return -errno;
    timer_armed = 1;

    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    if (sigaction(SIGIO, &action, NULL) < 0) return -errno;
    if (fcntl(fd, F_SETOWN, getpid()) < 0) return -errno;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_ASYNC) < 0) return -errno;

    if (at_end(fd)) on_signal(SIGIO); /* it was cut before the signal was asked for */
    return 0;
}

int er_lifeline_watch(int fd, int64_t grace_ns) {
    struct pollfd end = {.fd = fd, .events = 0, .revents = 0}; /* hang-ups are reported unasked */
    while (poll(&end, 1, -1) < 0) {
        if (errno != EINTR) return -errno;
    }
    cut = 1;
    struct timespec left = {.tv_sec = (time_t)(grace_ns / 1000000000),
                            .tv_nsec = (long)(grace_ns % 1000000000)};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
    kill(getpid(), SIGKILL);
    _exit(1); /* the first process of a container survives its own signals */
}

int er_lifeline_cut(void) {
    if (!cut && watched >= 0 && at_end(watched)) on_signal(SIGIO);
    return cut;
}
