/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "er_stderr.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* An env waits for as long as this for somebody to read what it writes; then text is dropped. */
#define PATIENCE_NS INT64_C(2000000000)
#define PIECE 4096 /* a pipe that reports room takes so many bytes at once */

typedef struct {
    int fd;
    int opened; /* whether fd is ours to close */
    int socket;
} outlet_t;

/* Another process's descriptor must not become non-blocking: its file is opened anew, or asked not
 * to block with each call. Plain files don't block. */
static outlet_t open_outlet(int to) {
    outlet_t outlet = {.fd = to, .opened = 0, .socket = 0};
    int kind;
    socklen_t size = sizeof kind;
    if (getsockopt(to, SOL_SOCKET, SO_TYPE, &kind, &size) == 0) {
        outlet.socket = 1;
    } else if (lseek(to, 0, SEEK_CUR) < 0 && errno == ESPIPE) {
        char path[40];
        snprintf(path, sizeof path, "/proc/thread-self/fd/%d", to);
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0) {
            outlet.fd = fd;
            outlet.opened = 1;
        }
    }
    return outlet;
}

static int64_t put(const outlet_t *outlet, const uint8_t *data, int64_t bytes,
                   int64_t patience_ns) {
    int64_t done = 0;
    while (done < bytes) {
        struct pollfd room = {.fd = outlet->fd, .events = POLLOUT, .revents = 0};
        int ready = poll(&room, 1, (int)(patience_ns / 1000000));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) break;
        size_t piece = bytes - done < PIECE ? (size_t)(bytes - done) : PIECE;
        ssize_t n = outlet->socket
                        ? send(outlet->fd, data + done, piece, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : write(outlet->fd, data + done, piece);
        if (n > 0) done += n;
        if (n < 0 && errno != EAGAIN && errno != EINTR) break;
    }
    return done;
}

int64_t er_pass_on(int to, const void *data, int64_t bytes, int64_t patience_ns) {
    outlet_t outlet = open_outlet(to);
    int64_t done = put(&outlet, data, bytes, patience_ns);
    if (outlet.opened) close(outlet.fd);
    return done;
}

static void keep(er_tail_head_t *head, const uint8_t *data, uint64_t bytes) {
    uint8_t *tail = (uint8_t *)(head + 1);
    uint64_t skipped = bytes > ER_TAIL_BYTES ? bytes - ER_TAIL_BYTES : 0;
    for (uint64_t i = skipped; i < bytes;) {
        uint64_t at = (head->count + i) % ER_TAIL_BYTES;
        uint64_t n = ER_TAIL_BYTES - at < bytes - i ? ER_TAIL_BYTES - at : bytes - i;
        memcpy(tail + at, data + i, n);
        i += n;
    }
    head->count += bytes;
}

int er_stderr_capture(int from, int to, int kept_in) {
    er_tail_head_t *head = mmap(NULL, sizeof *head + ER_TAIL_BYTES + ER_INCOMING_BYTES,
                                PROT_READ | PROT_WRITE, MAP_SHARED, kept_in, 0);
    if (head == MAP_FAILED) return -errno;
    uint8_t *incoming = (uint8_t *)(head + 1) + ER_TAIL_BYTES;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* signals are for the env's threads */
    outlet_t outlet = open_outlet(to);
    int64_t patience = PATIENCE_NS;
    for (;;) {
        ssize_t n = read(from, incoming, ER_INCOMING_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : 0;
        keep(head, incoming, (uint64_t)n);
        head->kept = (uint32_t)n;
        while (to >= 0 && head->passed < head->kept) {
            int64_t left = head->kept - head->passed;
            if (left > PIECE) left = PIECE;
            int64_t taken = put(&outlet, incoming + head->passed, left, patience);
            head->passed += (uint32_t)taken;
            patience = taken ? PATIENCE_NS : 0; /* nobody waits twice for who does not read */
            if (taken < left) break;
        }
        head->passed = head->kept; /* what is left over is dropped */
        memset(incoming, 0, (size_t)n);
        head->kept = head->passed = 0;
    }
}
