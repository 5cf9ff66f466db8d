/* SPDX-License-Identifier: MIT */
#include "er_doorbell.h"
#include "fake_park.h"

/* The sequence runs through its last value without touching the flag. */
int main(void) {
    er_bell_t bell = {0};
    er_wait_t policy = {0};
    er_store_relaxed(&bell.word, UINT32_MAX - 1);
    uint32_t seen = er_bell_value(&bell);
    CHECK_EQ(seen, UINT32_MAX - 1);
    CHECK_EQ(er_bell_wait(&bell, seen, &policy, 1), -ETIMEDOUT);
    CHECK_EQ(er_load_relaxed(&bell.word), UINT32_MAX);
    CHECK_EQ(er_bell_ring(&bell), 1);
    CHECK_EQ(er_load_relaxed(&bell.word), 0);
    CHECK_EQ(er_bell_wait(&bell, seen, &policy, ER_FOREVER), 0);
    CHECK_EQ(er_bell_ring(&bell), 0);
    CHECK_EQ(er_bell_value(&bell), 2);
    return PASS;
}
