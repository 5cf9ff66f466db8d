/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "er_ready.h"

enum { WORDS = 5 };

/* Exactly the envs of the slice are marked, whichever words it spans; taking clears. */
int main(void) {
    static er_atomic64_t words[WORDS + 1];
    for (uint32_t first = 0; first <= 64 * WORDS; first++) {
        for (uint32_t count = 0; first + count <= 64 * WORDS; count++) {
            er_ready_mark(words, first, count);
            uint32_t marks = 0;
            for (uint32_t w = 0; w < WORDS; w++) {
                uint64_t taken = er_ready_take(&words[w]);
                for (uint64_t rest = taken; rest; rest &= rest - 1) {
                    uint32_t env = w * 64 + (uint32_t)__builtin_ctzll(rest);
                    CHECK(env >= first && env < first + count);
                    marks++;
                }
                CHECK_EQ(er_ready_take(&words[w]), 0);
            }
            CHECK_EQ(marks, count);
            CHECK_EQ(er_load_relaxed(&words[WORDS]), 0);
        }
    }

    /* neighbours' marks in the same word stay */
    er_ready_mark(words, 0, 10);
    er_ready_mark(words, 10, 60);
    er_ready_mark(words, 5, 1);
    CHECK(er_ready_take(&words[0]) == UINT64_MAX);
    CHECK_EQ(er_ready_take(&words[1]), 63);
    return PASS;
}
