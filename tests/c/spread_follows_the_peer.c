/* SPDX-License-Identifier: MIT
 *
 * A thread that answers a peer on this machine goes to the CPU that the peer sends from.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "er_spread.h"
#include "rig.h"

static void go(int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
}

static void pair(int ends[2]) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(ends[0], (struct sockaddr *)&at, sizeof at) == 0);
    ends[1] = accept(listener, NULL, NULL);
    CHECK(ends[1] >= 0);
    close(listener);
}

int main(void) {
    cpu_set_t allowed;
    int cpus[2], ends[2], found = 0;
    char byte = 0;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) cpus[found++] = cpu;
    }
    if (found < 2) return 77;
    pair(ends);
    pid_t peer = fork_child();
    if (peer == 0) {
        go(cpus[1]);
        while (send(ends[0], &byte, 1, 0) == 1 && recv(ends[0], &byte, 1, 0) == 1) continue;
        _exit(0);
    }
    /* The kernel may move a thread that may be anywhere at any time: one move that is seen to lead
     * to the peer is enough, and up to the call this thread stays where the peer is not. */
    er_pace_t pace = {0};
    int followed = 0;
    for (int batch = 0; batch < 4000 && !followed; batch++) {
        int64_t rests = pace.rests;
        go(cpus[0]);
        CHECK_EQ(recv(ends[1], &byte, 1, 0), 1);
        CHECK(sched_setaffinity(0, sizeof allowed, &allowed) == 0);
        er_follow(&pace, ends[1]);
        followed = pace.rests > rests && sched_getcpu() == cpus[1];
        CHECK_EQ(send(ends[1], &byte, 1, 0), 1);
    }
    CHECK_EQ(followed, 1);
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_ISSET(cpus[0], &allowed),
             1);
    kill(peer, SIGKILL);
    CHECK_EQ(waitpid(peer, NULL, 0), peer);
    return 0;
}
