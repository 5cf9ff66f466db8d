/* SPDX-License-Identifier: MIT */
#include "er_ready.h"

void er_ready_mark(er_atomic64_t *words, uint32_t first, uint32_t count) {
    while (count) {
        uint32_t bit = first % 64;
        uint32_t n = 64 - bit < count ? 64 - bit : count;
        uint64_t ones = n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
        /* SYNC POINT: ready. Release: whoever takes the mark sees the sequence stored before. */
        er_fetch_or_release(&words[first / 64], ones << bit);
        first += n;
        count -= n;
    }
}

uint64_t er_ready_take(er_atomic64_t *word) {
    if (er_load_relaxed(word) == 0) return 0; /* spares the exclusive cache line */
    return er_exchange_acquire(word, 0);      /* SYNC POINT: ready */
}
