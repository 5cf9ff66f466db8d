/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "er_lifeline.h"
#include "er_worker.h"
#include "rig.h"

static int ends[2];

static void *watch(void *unused) {
    (void)unused;
    er_lifeline_watch(ends[0], INT64_C(60000000000));
    return NULL;
}

/* A reply longer than the ring, which nobody drains: the worker waits until the caller is gone. */
int main(void) {
    static uint8_t reply[1000];
    rig_t rig;
    er_port_t port;
    pthread_t thread;
    rig_open(&rig, RIG_PRIVATE, 1, 1);
    CHECK_EQ(er_port_open(&port, rig.segment, 0, 0, 1, 0, 0, 0), 0);
    uint32_t seq = rig_post(&rig, ER_OP_MESSAGE, 0);
    CHECK_EQ(er_port_next(&port, 0), 0);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(pthread_create(&thread, NULL, watch, NULL), 0);
    close(ends[1]);
    CHECK_EQ(er_port_finish(&port, seq, reply, sizeof reply), 0);
    CHECK_EQ(er_caller_collect(&rig.caller), 1); /* not published */

    /* and what the caller has broken is an error */
    er_store_relaxed(&er_worker(rig.segment, 0)->replies.head, 5000);
    CHECK_EQ(er_port_finish(&port, seq, reply, sizeof reply), -EPROTO);
    rig_close(&rig);
    return PASS;
}
