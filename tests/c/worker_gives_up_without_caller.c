/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "er_lifeline.h"
#include "er_worker.h"
#include "rig.h"

/* A reply longer than the ring, which nobody drains: the worker waits until the caller is gone. */
int main(void) {
    static uint8_t reply[1000];
    rig_t rig;
    er_port_t port;
    int ends[2];
    rig_open(&rig, RIG_PRIVATE, 1, 1);
    CHECK_EQ(er_port_open(&port, rig.segment, 0, 0, 1, 0, 0, 0), 0);
    uint32_t seq = rig_post(&rig, ER_OP_MESSAGE, 0);
    CHECK_EQ(er_port_next(&port, 0), 0);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(er_lifeline_arm(ends[0], INT64_C(60000000000)), 0);
    close(ends[1]);
    CHECK_EQ(er_port_finish(&port, seq, reply, sizeof reply), 0);
    CHECK_EQ(er_caller_collect(&rig.caller), 1); /* not published */

    /* and what the caller has broken is an error */
    er_store_relaxed(&er_worker(rig.segment, 0)->replies.head, 5000);
    CHECK_EQ(er_port_finish(&port, seq, reply, sizeof reply), -EPROTO);
    rig_close(&rig);
    return PASS;
}
