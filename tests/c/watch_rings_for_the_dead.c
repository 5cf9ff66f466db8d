/* SPDX-License-Identifier: MIT
 * The end of a process wakes the caller from its wait, and a thread can be stopped and started. */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "child.h"
#include "er_park.h"
#include "er_watch.h"

#define SECOND INT64_C(1000000000)

static pid_t sleeper(int *pidfd) {
    pid_t pid = fork_child();
    if (pid == 0) {
        for (;;) pause();
    }
    *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(*pidfd >= 0);
    return pid;
}

int main(void) {
    static er_bell_t bell;
    struct pollfd fds[3];
    pid_t pids[2];
    for (int i = 0; i < 2; i++) pids[i] = sleeper(&fds[i].fd);
    er_watch_t watch;
    er_wait_t wait;
    er_wait_open(&wait, 0.0, 0, 1);
    er_watch_open(&watch, &bell, fds, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(er_watch_start(&watch), 0);
        CHECK_EQ(er_watch_start(&watch), 0);
        CHECK_EQ(er_watch_noticed(&watch), i);
        uint32_t seen = er_bell_value(&bell);
        CHECK_EQ(kill(pids[i], SIGKILL), 0);
        CHECK_EQ(er_bell_wait(&bell, seen, &wait, er_park_now() + 10 * SECOND), 0);
        CHECK_EQ(er_watch_noticed(&watch), 1);
        CHECK_EQ(waitpid(pids[i], NULL, 0), pids[i]);
        er_watch_stop(&watch);
        er_watch_stop(&watch);
    }
    /* nobody is left: it sleeps until it is stopped */
    CHECK_EQ(er_watch_start(&watch), 0);
    er_watch_stop(&watch);
    return 0;
}
