/* SPDX-License-Identifier: MIT
 *
 * A fake of er_park.h that records calls and runs on a clock of its own. A program that includes it
 * is linked with it instead of the operating system's; one thread only.
 */
#ifndef FAKE_PARK_H
#define FAKE_PARK_H

#include <errno.h>

#include "check.h"

static struct {
    int64_t now;
    int64_t tick; /* a look at the clock takes that long */
    unsigned yields;
    unsigned parks;  /* calls of er_park */
    unsigned sleeps; /* of these, the ones that found the word as expected */
    unsigned unparks;
    er_atomic32_t *word; /* of the last er_park */
    uint32_t expected;
    int64_t deadline;
    void (*at_look)(void); /* at the clock */
    void (*at_yield)(void);
    void (*before_compare)(void); /* er_park was called, the kernel has not yet compared */
    int (*asleep)(void);          /* what happens then, and er_park's result; NULL: times out */
} fake;

int er_park(er_atomic32_t *word, uint32_t expected, int64_t deadline_ns) {
    fake.parks++;
    fake.word = word;
    fake.expected = expected;
    fake.deadline = deadline_ns;
    if (fake.before_compare) fake.before_compare();
    if (er_load_acquire(word) != expected) return 0;
    fake.sleeps++;
    if (fake.asleep) return fake.asleep();
    CHECK(deadline_ns != ER_FOREVER); /* else this would be a hang */
    if (fake.now < deadline_ns) fake.now = deadline_ns;
    return -ETIMEDOUT;
}

int er_unpark(er_atomic32_t *word) {
    (void)word;
    fake.unparks++;
    return 1;
}

int64_t er_park_now(void) {
    if (fake.at_look) fake.at_look();
    return fake.now += fake.tick;
}

void er_park_yield(void) {
    fake.yields++;
    if (fake.at_yield) fake.at_yield();
}

#endif
