/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t cut;
static int timer_id;
static int timer_armed;
static struct itimerspec grace;

static void on_signal(int signal_number) {
    (void)signal_number;
    cut = 1;
    /* raw system call: async-signal-safe, and no symbol that an old libc lacks */
    if (timer_armed) syscall(SYS_timer_settime, timer_id, 0, &grace, NULL);
}

int er_lifeline_arm(int fd, int64_t grace_ns) {
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

    /* the caller may have died before the signal was asked for */
    struct pollfd already = {.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&already, 1, 0) > 0) on_signal(SIGIO);
    return 0;
}

int er_lifeline_cut(void) { return cut; }
