/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_link.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "er_park.h"

#define MOST_PARTS 256 /* of one system call */

static int wait_for(int fd, short event, int64_t deadline_ns) {
    int64_t left = deadline_ns - er_park_now();
    if (left <= 0) return -ETIMEDOUT;
    struct timespec time = {left / 1000000000, left % 1000000000};
    struct pollfd poll = {.fd = fd, .events = event};
    int r = ppoll(&poll, 1, &time, NULL);
    return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

int er_link_send(int fd, struct iovec *parts, int count, int64_t deadline_ns) {
    while (count > 0) {
        if (parts->iov_len == 0) {
            parts++, count--;
            continue;
        }
        struct msghdr message = {.msg_iov = parts,
                                 .msg_iovlen = count < MOST_PARTS ? count : MOST_PARTS};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            int r = -errno;
            if (r == -EAGAIN) r = wait_for(fd, POLLOUT, deadline_ns);
            if (r < 0 && r != -EINTR) return r;
            continue;
        }
        while (count > 0 && (size_t)sent >= parts->iov_len) {
            sent -= parts->iov_len;
            parts++, count--;
        }
        if (sent > 0) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= sent;
        }
    }
    return 0;
}

int er_link_receive(int fd, const struct iovec *parts, int count, uint64_t *got, uint64_t enough,
                    int64_t deadline_ns, int64_t sleep_ns) {
    struct iovec rest[MOST_PARTS];
    int waits = *got == 0; /* the other end is at work */
    while (*got < enough) {
        int sleeps = waits && sleep_ns && deadline_ns - er_park_now() >= sleep_ns;
        if (waits && !sleeps) {
            int error = wait_for(fd, POLLIN, deadline_ns);
            if (error < 0) return error;
        }
        uint64_t skip = *got;
        int first = 0, n = 0;
        while (first < count && skip >= parts[first].iov_len) skip -= parts[first++].iov_len;
        for (int i = first; i < count && n < MOST_PARTS; i++, n++) {
            rest[n].iov_base = (char *)parts[i].iov_base + skip;
            rest[n].iov_len = parts[i].iov_len - skip;
            skip = 0;
        }
        struct msghdr message = {.msg_iov = rest, .msg_iovlen = n};
        ssize_t r = recvmsg(fd, &message, sleeps ? 0 : MSG_DONTWAIT);
        if (r == 0) return -ECONNRESET;
        if (r > 0) {
            *got += r;
        } else if (errno != EAGAIN) {
            return -errno;
        } else if (sleeps) {
            sleep_ns = 0; /* slept in vain, or not at all */
        }
        waits = r < 0;
    }
    return 0;
}
