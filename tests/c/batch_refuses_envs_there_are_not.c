/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "rig.h"

int main(void) {
    rig_t rig;
    rig_open(&rig, RIG_PRIVATE, 5, 2);
    er_worker_end_t end;
    CHECK_EQ(er_worker_open(&end, rig.segment, 2, 0, 1), -EINVAL);
    CHECK_EQ(er_worker_open(&end, rig.segment, 0, 6, 0), -EINVAL);
    CHECK_EQ(er_worker_open(&end, rig.segment, 0, 5, 1), -EINVAL);
    CHECK_EQ(er_worker_open(&end, rig.segment, 0, 4, UINT32_MAX), -EINVAL); /* sum overflows */
    CHECK_EQ(er_worker_open(&end, rig.segment, 1, 4, 1), 0);
    CHECK_EQ(er_worker_open(&end, rig.segment, 1, 5, 0), 0);
    rig_close(&rig);
    return PASS;
}
