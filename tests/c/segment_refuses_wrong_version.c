/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "er_segment.h"

static _Alignas(ER_PAGE) uint8_t room[1 << 16];

int main(void) {
    er_config_t config = {
        .num_envs = 1,
        .num_workers = 1,
        .num_slots = 1,
        .command_ring_bytes = 64,
        .reply_ring_bytes = 64,
    };
    er_segment_t *s = (er_segment_t *)room;
    uint64_t bytes = (uint64_t)er_segment_bytes(&config);
    CHECK(bytes <= sizeof room);

    CHECK_EQ(er_segment_check(room, bytes), -EAGAIN); /* zeroes: its maker is still at it */
    CHECK_EQ(er_segment_format(room, bytes, &config), 0);
    CHECK_EQ(er_segment_check(room, bytes), 0);

    er_store_relaxed(&s->sealed, 0);
    CHECK_EQ(er_segment_check(room, bytes), -EAGAIN);
    er_store_relaxed(&s->sealed, ER_ABI + 1);
    CHECK_EQ(er_segment_check(room, bytes), -EPROTO);
    s->abi = ER_ABI + 1;
    CHECK_EQ(er_segment_check(room, bytes), -EPROTO);
    er_store_relaxed(&s->sealed, ER_ABI);
    CHECK_EQ(er_segment_check(room, bytes), -EPROTO);
    s->abi = ER_ABI;
    CHECK_EQ(er_segment_check(room, bytes), 0);

    s->magic++;
    CHECK_EQ(er_segment_check(room, bytes), -EBADMSG);
    s->magic--;
    CHECK_EQ(er_segment_check(room, sizeof(er_segment_t) - 1), -EBADMSG);
    CHECK_EQ(er_segment_check(room, bytes - 1), -ERANGE);
    CHECK_EQ(er_segment_check(room, bytes + ER_PAGE), 0);
    return PASS;
}
