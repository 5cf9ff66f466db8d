/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "er_segment.h"

static const er_config_t good = {
    .num_envs = 3,
    .num_workers = 2,
    .num_slots = 2,
    .command_ring_bytes = 64,
    .reply_ring_bytes = 64,
    .action_bytes = 24,
    .final_bytes = 24,
    .slot_bytes = 24,
    .info_bytes = 24,
};

#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        er_config_t bad = good;                                                                    \
        bad.field = (value);                                                                       \
        CHECK_EQ(er_segment_bytes(&bad), -EINVAL);                                                 \
        CHECK_EQ(er_segment_format(room, sizeof room, &bad), -EINVAL);                             \
    } while (0)

static _Alignas(ER_PAGE) uint8_t room[1 << 16];
static const uint8_t nothing[sizeof room];

int main(void) {
    REFUSED(num_envs, 0);
    REFUSED(num_envs, ER_MAX_ENVS + 1);
    REFUSED(num_workers, 0);
    REFUSED(num_workers, ER_MAX_WORKERS + 1);
    REFUSED(num_slots, 0);
    REFUSED(num_slots, ER_MAX_SLOTS + 1);
    REFUSED(command_ring_bytes, 0);
    REFUSED(command_ring_bytes, sizeof(er_command_t) / 2); /* no room for one record */
    REFUSED(command_ring_bytes, 100);
    REFUSED(reply_ring_bytes, 0);
    REFUSED(reply_ring_bytes, 100);
    REFUSED(action_bytes, UINT64_MAX);
    REFUSED(final_bytes, UINT64_MAX);
    REFUSED(info_bytes, UINT64_MAX);
    REFUSED(slot_bytes, UINT64_MAX);
    REFUSED(slot_bytes, UINT64_MAX / 2 + 1); /* times two slots: nothing */

    int64_t bytes = er_segment_bytes(&good);
    CHECK(bytes > 0 && bytes % ER_PAGE == 0 && (uint64_t)bytes <= sizeof room);
    CHECK_EQ(er_segment_format(room, (uint64_t)bytes - 1, &good), -EINVAL);
    CHECK_EQ(memcmp(room, nothing, sizeof room), 0); /* refused means untouched */
    CHECK_EQ(er_segment_format(room, (uint64_t)bytes, &good), 0);
    CHECK_EQ(er_segment_check(room, (uint64_t)bytes), 0);
    return PASS;
}
