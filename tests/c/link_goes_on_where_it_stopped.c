/* SPDX-License-Identifier: MIT
 *
 * Scattered parts arrive scattered, whatever the pieces in which the bytes come; a time-out loses
 * nothing; what is behind the parts stays in the socket; an end is told from silence. The same where
 * receives sleep by themselves, up to the deadline and not beyond, whether they really do or not. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"
#include "er_link.h"
#include "er_park.h"

#define MS 1000000

int main(void) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    char head[4], body[5], none;
    struct iovec parts[] = {{head, 4}, {&none, 0}, {body, 5}};
    uint64_t got = 0;

    CHECK(er_link_receive(ends[1], parts, 3, &got, 9, er_park_now() + MS, 0) == -ETIMEDOUT);
    CHECK(got == 0);
    CHECK(write(ends[0], "HE", 2) == 2);
    CHECK(er_link_receive(ends[1], parts, 3, &got, 4, er_park_now() + MS, 0) == -ETIMEDOUT);
    CHECK(got == 2);
    CHECK(write(ends[0], "ADbo", 4) == 4);
    CHECK(er_link_receive(ends[1], parts, 3, &got, 4, er_park_now() + MS, 0) == 0);
    CHECK(got == 6);
    CHECK(write(ends[0], "dy!next", 7) == 7);
    CHECK(er_link_receive(ends[1], parts, 3, &got, 9, er_park_now() + MS, 0) == 0);
    CHECK(got == 9);
    CHECK(memcmp(head, "HEAD", 4) == 0);
    CHECK(memcmp(body, "body!", 5) == 0);
    char next[8];
    CHECK(read(ends[1], next, sizeof next) == 4);
    CHECK(memcmp(next, "next", 4) == 0);

    /* more than the socket holds: sending waits for room, and gives up in time */
    static char large[1 << 22];
    struct iovec much[] = {{head, 4}, {large, sizeof large}};
    CHECK(er_link_send(ends[0], much, 2, er_park_now() + 20 * MS) == -ETIMEDOUT);
    CHECK(much[1].iov_len > 0 && much[1].iov_len < sizeof large);

    while (read(ends[1], large, sizeof large) > 0) continue;
    for (int sleeps = 0; sleeps < 2; sleeps++) {
        struct timeval most = {0, 4000};
        int flags = sleeps ? 0 : O_NONBLOCK;
        CHECK(fcntl(ends[1], F_SETFL, flags) == 0);
        CHECK(setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0);
        got = 0;
        int64_t start = er_park_now();
        CHECK(er_link_receive(ends[1], parts, 3, &got, 9, start + 30 * MS, 4 * MS) == -ETIMEDOUT);
        CHECK(er_park_now() - start >= 30 * MS && got == 0);
        start = er_park_now();
        CHECK(er_link_receive(ends[1], parts, 3, &got, 9, start + MS, 2000 * MS) == -ETIMEDOUT);
        CHECK(er_park_now() - start < 1000 * MS);
        CHECK(write(ends[0], "HEADbody!", 9) == 9);
        CHECK(er_link_receive(ends[1], parts, 3, &got, 9, start + 2000 * MS, 4 * MS) == 0);
        CHECK(got == 9);
    }
    CHECK(close(ends[0]) == 0);
    got = 0;
    CHECK(er_link_receive(ends[1], parts, 3, &got, 9, er_park_now() + MS, 0) == -ECONNRESET);
    struct iovec one[] = {{head, 4}};
    CHECK(er_link_send(ends[1], one, 1, er_park_now() + MS) == -EPIPE);
    return 0;
}
