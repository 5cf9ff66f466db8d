/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "check.h"

/* The operating system's side of er_park.h. */
int main(void) {
    er_atomic32_t words[2] = {5, 5};
    CHECK_EQ(er_park(&words[0], 4, ER_FOREVER), 0);
    CHECK_EQ(er_park(&words[0], 5, 1), -ETIMEDOUT);
    CHECK_EQ(er_park(&words[0], 5, deadline_in_ms(5)), -ETIMEDOUT);
    CHECK_EQ(er_unpark(&words[0]), 0);
    int64_t before = er_park_now();
    er_park_yield();
    CHECK(er_park_now() >= before);

    /* a word that cannot be slept on is no interruption: who is interrupted tries again */
    er_atomic32_t *odd = (er_atomic32_t *)((char *)words + 1);
    int r = er_park(odd, 0, ER_FOREVER);
    CHECK(r < 0 && r != -EINTR && r != -ETIMEDOUT);
    return PASS;
}
