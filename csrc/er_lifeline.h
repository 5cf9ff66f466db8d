/* SPDX-License-Identifier: MIT
 *
 * Lifeline: how a worker learns that the caller's process is gone, whatever the worker is doing.
 *
 * The worker holds the read end of a pipe whose only write end is the caller's. When the kernel
 * closes that end, it signals the worker (O_ASYNC). The handler raises a flag, which ends a wait
 * for commands, and starts a timer that kills the process if it does not leave by itself: an env
 * may hang in C code. Unlike PR_SET_PDEATHSIG this does not depend on the thread that started the
 * worker, nor on being its direct child.
 */
#ifndef ER_LIFELINE_H
#define ER_LIFELINE_H

#include <stdint.h>

/* Watches the read end `fd`, which is taken over. After the cut the process has grace_ns to leave.
 * 0 or -errno. */
int er_lifeline_arm(int fd, int64_t grace_ns);

/* For a thread of its own, where no such pipe can be inherited: sleeps until the other end of
 * `fd` is closed, which may be the channel, and ends the process grace_ns later. Returns only if it
 * cannot watch: -errno. */
int er_lifeline_watch(int fd, int64_t grace_ns);

/* Whether the caller's process is gone. */
int er_lifeline_cut(void);

#endif
