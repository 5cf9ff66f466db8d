/* SPDX-License-Identifier: MIT
 *
 * Processes that a program here starts.
 */
#ifndef CHILD_H
#define CHILD_H

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "check.h"

/* fork() for a child that ends with its parent: whoever reads this program's output waits for the
 * output's end, so a child that stays would turn a failed check into a hang. */
static inline pid_t fork_child(void) {
    pid_t parent = getpid();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        if (getppid() != parent) _exit(FAIL);
    }
    return pid;
}

#endif
