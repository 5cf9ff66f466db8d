/* SPDX-License-Identifier: MIT
 *
 * Lifeline: how a worker learns that the caller's process is gone, whatever the worker is doing.
 *
 * The worker holds the read end of a pipe whose only write end is the caller's, or a socket. A
 * thread of the worker sleeps until the other end is closed. Then it raises a flag, interrupts the
 * wait for commands, and kills the process if it does not leave by itself: an env may hang in C
 * code. The thread has a table of descriptors of its own, so that an env which closes descriptors
 * it does not know cannot disarm it.
 *
 * A stopped process runs no thread. The kernel sends the worker SIGCONT when the thread that started
 * it ends (PR_SET_PDEATHSIG), which changes nothing for a process that runs. A worker that somebody
 * else started than its caller, such as a sandbox or a script, has a guard for that: a process beside
 * it that does nothing else.
 */
#ifndef ER_LIFELINE_H
#define ER_LIFELINE_H

#include <stdint.h>

/* Gives the calling thread, which must not be the main one, a table of descriptors of its own with
 * these alone. 1; or 0 if that is forbidden here: then the table is the process's, as before. */
int er_keep_only(const int *fds, int count);

/* For a thread of its own: sleeps until the other end of `fd` is closed, and ends the process
 * grace_ns later. Returns only if it cannot watch: -errno. */
int er_lifeline_watch(int fd, int64_t grace_ns);

/* Starts a process that sends this one SIGCONT when the other end of `fd` is closed, and SIGKILL if
 * it still runs half a second after its grace. The guard ends with this process. 0, or -errno. */
int er_lifeline_guard(int fd, int64_t grace_ns);

/* Whether the caller's process is gone. */
int er_lifeline_cut(void);

#endif
