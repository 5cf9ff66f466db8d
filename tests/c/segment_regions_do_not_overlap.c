/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "er_segment.h"

static uint32_t envs[] = {1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, ER_MAX_ENVS};
static uint32_t workers[] = {1, 2, 7, ER_MAX_WORKERS};
static uint32_t slots[] = {1, 2, 33, ER_MAX_SLOTS};
static uint64_t sizes[] = {0, 1, 127, 128, 129, 4095, 4096, 4097, UINT64_C(1) << 30};

#define EACH(index, of) for (unsigned index = 0; index < sizeof of / sizeof *of; index++)

/* In the order of er_format.h every region ends before the next begins, and starts where its kind
 * must. Formatting writes the header only, so the largest segments cost no memory. */
static void check(const er_config_t *c) {
    static _Alignas(ER_PAGE) er_segment_t s;
    int64_t total = er_segment_bytes(c);
    CHECK(total > 0);
    s = (er_segment_t){0};
    CHECK_EQ(er_segment_format(&s, (uint64_t)total, c), 0);
    CHECK_EQ(er_segment_check(&s, (uint64_t)total), 0);
    CHECK(s.slot_bytes >= c->slot_bytes && s.slot_bytes % ER_LINE == 0);

    uint64_t n = c->num_envs, w = c->num_workers;
    struct {
        uint64_t at, bytes, align;
    } regions[] = {
        {0, sizeof s, ER_PAGE},
        {s.off_workers, w * sizeof(er_worker_t), ER_LINE},
        {s.off_env_seq, n * sizeof(er_atomic32_t), ER_LINE},
        {s.off_ready, (n + 63) / 64 * sizeof(er_atomic64_t), ER_LINE},
        {s.off_template_ids, n * sizeof(uint16_t), ER_LINE},
        {s.off_final_marks, n, ER_LINE},
        {s.off_command_rings, w * c->command_ring_bytes, ER_LINE},
        {s.off_reply_rings, w * c->reply_ring_bytes, ER_LINE},
        {s.off_actions, c->action_bytes, ER_LINE},
        {s.off_final, c->final_bytes, ER_LINE},
        {s.off_slots, c->num_slots * s.slot_bytes, ER_PAGE},
        {s.off_infos, c->info_bytes, ER_PAGE},
    };
    uint64_t behind = 0;
    EACH(i, regions) {
        CHECK(regions[i].at >= behind);
        CHECK_EQ(regions[i].at % regions[i].align, 0);
        behind = regions[i].at + regions[i].bytes;
    }
    CHECK(behind <= s.total_bytes);
    CHECK_EQ(s.total_bytes, total);
    CHECK_EQ(s.total_bytes % ER_PAGE, 0);

    uint8_t *base = (uint8_t *)&s;
    CHECK((uint8_t *)(er_worker(&s, c->num_workers - 1) + 1) <= base + s.off_env_seq);
    CHECK((uint8_t *)er_slot(&s, c->num_slots - 1) + s.slot_bytes <= base + s.off_infos);
    CHECK((uint8_t *)er_command_data(&s, c->num_workers - 1) + c->command_ring_bytes <=
          base + s.off_reply_rings);
    CHECK((uint8_t *)er_reply_data(&s, c->num_workers - 1) + c->reply_ring_bytes <=
          base + s.off_actions);
}

int main(void) {
    EACH(e, envs) EACH(w, workers) EACH(sl, slots) EACH(i, sizes) {
        er_config_t config = {
            .num_envs = envs[e],
            .num_workers = workers[w],
            .num_slots = slots[sl],
            .command_ring_bytes = i % 2 ? 32 : 4096,
            .reply_ring_bytes = i % 2 ? 1 : 1 << 20,
            .action_bytes = sizes[i],
            .final_bytes = sizes[(i + 1) % 9],
            .slot_bytes = sizes[(i + 3) % 9],
            .info_bytes = sizes[(i + 5) % 9],
        };
        check(&config);
    }
    return PASS;
}
