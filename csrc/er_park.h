/* SPDX-License-Identifier: MIT
 *
 * What the core asks of the operating system: sleep on a word, wake sleepers, tell the time.
 *
 * One implementation is linked per system (er_park_linux.c); tests link a fake that records calls.
 */
#ifndef ER_PARK_H
#define ER_PARK_H

#include <stdint.h>

#include "er_atomic.h"

#define ER_FOREVER INT64_MAX

/* Sleeps while *word == expected, at most until deadline (er_park_now's clock, or ER_FOREVER).
 * Returns 0 (woken, or the word differed), -ETIMEDOUT, -EINTR (sure to come only if the handler was
 * installed without SA_RESTART), or another -errno (the word cannot be slept on). May return 0 for
 * no reason. */
int er_park(er_atomic32_t *word, uint32_t expected, int64_t deadline_ns);

/* Wakes all that sleep on the word, in any process. Returns how many. */
int er_unpark(er_atomic32_t *word);

/* Monotonic clock, ns. */
int64_t er_park_now(void);

/* Lets another runnable thread have this core. */
void er_park_yield(void);

#endif
