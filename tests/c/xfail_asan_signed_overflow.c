/* SPDX-License-Identifier: MIT */
#include "check.h"

/* The mistake: a sum that does not fit. UBSan is on too, and fatal. */
int main(void) {
    volatile int32_t most = INT32_MAX;
    volatile int32_t sum = most + 1;
    CHECK(sum < 0);
    return PASS;
}
