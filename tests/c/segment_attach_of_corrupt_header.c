/* SPDX-License-Identifier: MIT
 *
 * One property: whatever a header says, er_segment_check either refuses it with a documented error
 * or every region it names lies within the mapping.
 *
 * A test of examples and random patches; with USE_LIBFUZZER a target of fuzz/run.sh.
 */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "er_segment.h"

static const er_config_t config = {
    .num_envs = 70,
    .num_workers = 3,
    .num_slots = 2,
    .command_ring_bytes = 64,
    .reply_ring_bytes = 128,
    .action_bytes = 280,
    .final_bytes = 70,
    .slot_bytes = 1000,
    .info_bytes = 560,
};

enum { HEADER = sizeof(er_segment_t) };

static uint8_t touched;

static void touch(const uint8_t *base, uint64_t at, uint64_t count) {
    if (count) touched ^= base[at] ^ base[at + count - 1];
}

static void check_accepted(const uint8_t *base, uint64_t bytes) {
    const er_segment_t *s = (const er_segment_t *)base;
    CHECK(s->num_envs >= 1 && s->num_envs <= ER_MAX_ENVS);
    CHECK(s->num_workers >= 1 && s->num_workers <= ER_MAX_WORKERS);
    CHECK(s->num_slots >= 1 && s->num_slots <= ER_MAX_SLOTS);
    CHECK(s->total_bytes <= bytes);
    touch(base, s->off_workers, s->num_workers * sizeof(er_worker_t));
    touch(base, s->off_env_seq, s->num_envs * sizeof(uint32_t));
    touch(base, s->off_ready, (s->num_envs + 63) / 64 * sizeof(uint64_t));
    touch(base, s->off_template_ids, s->num_envs * sizeof(uint16_t));
    touch(base, s->off_final_marks, s->num_envs);
    touch(base, s->off_command_rings, (uint64_t)s->num_workers * s->command_ring_bytes);
    touch(base, s->off_reply_rings, (uint64_t)s->num_workers * s->reply_ring_bytes);
    touch(base, s->off_actions, s->action_bytes);
    touch(base, s->off_final, s->final_bytes);
    touch(base, s->off_slots, s->num_slots * s->slot_bytes);
    touch(base, s->off_infos, s->info_bytes);
}

/* The first byte shortens the mapping by so many pages; then come patches of three bytes: where
 * (two), what. Bytes that are left over change nothing. */
static int property(const uint8_t *data, size_t size) {
    static uint64_t full;
    static uint8_t *base; /* the sanitizer knows its end */
    static er_segment_t header;
    if (!base) {
        full = (uint64_t)er_segment_bytes(&config);
        base = aligned_alloc(ER_PAGE, full);
        CHECK(base);
        memset(base, 0, full);
        CHECK_EQ(er_segment_format(base, full, &config), 0);
        memcpy(&header, base, HEADER);
    }
    memcpy(base, &header, HEADER);
    uint64_t less = size ? data[0] * (uint64_t)ER_PAGE : 0;
    uint64_t bytes = less < full ? full - less : 0;
    for (size_t i = 1; i + 3 <= size; i += 3) {
        base[(data[i] | data[i + 1] << 8) % HEADER] = data[i + 2];
    }
    int r = er_segment_check(base, bytes);
    CHECK(r == 0 || r == -EBADMSG || r == -EAGAIN || r == -EPROTO || r == -ERANGE);
    if (r == 0) check_accepted(base, bytes);
    return r;
}

#ifdef USE_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    property(data, size);
    return 0;
}
#else
static int patched(uint16_t at, uint8_t value) {
    uint8_t data[] = {0, (uint8_t)at, (uint8_t)(at >> 8), value};
    return property(data, sizeof data);
}

int main(void) {
    CHECK_EQ(property(NULL, 0), 0);
    CHECK_EQ(property((const uint8_t[]){1}, 1), -ERANGE);
    CHECK_EQ(property((const uint8_t[]){255}, 1), -EBADMSG);
    CHECK_EQ(patched(0, 0), -EBADMSG);
    CHECK_EQ(patched(offsetof(er_segment_t, abi), ER_ABI + 1), -EPROTO);
    CHECK_EQ(patched(offsetof(er_segment_t, sealed), 0), -EAGAIN);
    CHECK_EQ(patched(offsetof(er_segment_t, num_envs), 0), -ERANGE);
    CHECK_EQ(patched(offsetof(er_segment_t, num_envs) + 3, 0xff), -ERANGE);
    CHECK_EQ(patched(offsetof(er_segment_t, off_env_seq) + 7, 0x80), -ERANGE);
    CHECK_EQ(patched(offsetof(er_segment_t, off_slots), 1), -ERANGE);
    CHECK_EQ(patched(offsetof(er_segment_t, slot_bytes) + 5, 0x40), -ERANGE);

    /* every byte of what is checked, changed to every value */
    for (uint16_t at = 0; at < offsetof(er_segment_t, sealed) + sizeof(uint32_t); at++) {
        int accepted = 0;
        for (int value = 0; value < 256; value++) accepted += patched(at, (uint8_t)value) == 0;
        CHECK(accepted >= 1); /* the value it had */
    }
    uint64_t random = 4;
    for (int n = 0; n < 20000; n++) {
        uint8_t data[1 + 3 * 8];
        for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)next_random(&random);
        data[0] %= 4;
        property(data, 1 + 3 * (next_random(&random) % 9));
    }
    return PASS;
}
#endif
