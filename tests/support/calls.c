/* SPDX-License-Identifier: MIT
 *
 * Loaded before libc (LD_PRELOAD): counts the calls that read and write sockets. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* written, read, waited for; one thread counts, or several that may lose some */
unsigned long counted[3];

#define COUNTED(at, type, name, parameters, arguments)                                             \
    type name parameters {                                                                         \
        static type(*next) parameters;                                                             \
        if (!next) next = (type(*) parameters)dlsym(RTLD_NEXT, #name);                             \
        counted[at]++;                                                                             \
        return next arguments;                                                                     \
    }

COUNTED(0, ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
COUNTED(0, ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f))
COUNTED(0, ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
COUNTED(0, ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
COUNTED(1, ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f))
COUNTED(1, ssize_t, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f))
COUNTED(1, ssize_t, read, (int fd, void *b, size_t n), (fd, b, n))
COUNTED(1, ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n))
COUNTED(2, int, poll, (struct pollfd * p, nfds_t n, int t), (p, n, t))
COUNTED(2, int, ppoll, (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *s),
        (p, n, t, s))
