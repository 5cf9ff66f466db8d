/* SPDX-License-Identifier: MIT
 *
 * Batches over a stream socket: scattered parts are sent with one system call and received with one,
 * where the kernel has it all.
 */
#ifndef ER_LINK_H
#define ER_LINK_H

#include <stdint.h>
#include <sys/uio.h>

/* Sends all parts, which it changes. 0, -ETIMEDOUT or -errno. */
int er_link_send(int fd, struct iovec *parts, int count, int64_t deadline_ns);

/* Receives into the parts, behind the first `*got` bytes; stops when `*got` has reached `enough`, at
 * the earliest, and never beyond the parts' end. 0, -ETIMEDOUT, -EINTR, -ECONNRESET or -errno; the
 * next call goes on where this one ended.
 *
 * `sleep_ns` is how long a receive of this socket sleeps (SO_RCVTIMEO), 0 if it does not block: where
 * the deadline is no nearer, the system call that waits is the one that receives. */
int er_link_receive(int fd, const struct iovec *parts, int count, uint64_t *got, uint64_t enough,
                    int64_t deadline_ns, int64_t sleep_ns);

#endif
