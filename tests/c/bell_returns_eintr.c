/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "check.h"
#include "er_doorbell.h"

static volatile sig_atomic_t signals;

static void on_alarm(int number) {
    (void)number;
    signals++;
}

/* A signal ends the wait, so that Ctrl-C need not wait for it. The timer repeats: a signal that
 * comes before the sleep is followed by another. */
int main(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval every = {{0, 5000}, {0, 5000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);

    er_bell_t bell = {0};
    er_wait_t policy = {0};
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, generous()), -EINTR);
    CHECK(signals > 0);
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, ER_FOREVER), -EINTR);

    /* the bell was rung as well: that is what counts */
    er_bell_ring(&bell);
    CHECK_EQ(er_bell_wait(&bell, 0, &policy, generous()), 0);
    return PASS;
}
