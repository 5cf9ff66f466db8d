/* SPDX-License-Identifier: MIT
 *
 * The real code with places to die in: er_ready_mark and er_unpark of the program that includes this
 * first stand before the core's, and kill the process on request.
 */
#ifndef DYING_H
#define DYING_H

#define er_ready_mark real_ready_mark
#include "../../csrc/er_ready.c"
#undef er_ready_mark
#define er_unpark real_unpark
#include "../../csrc/er_park_linux.c"
#undef er_unpark

#include <signal.h>
#include <sys/wait.h>

#include "child.h"
#include "rig.h"

/* Behind these a program has places of its own. */
enum {
    NOWHERE,
    BEFORE_MARK,   /* the sequences are published, the marks are not */
    BEFORE_COUNT,  /* the marks are, `pending` does not know */
    BEFORE_WAKING, /* the bell's word says rung, nobody was woken */
    OTHER_PLACES,
};

static int die_at = NOWHERE;

static void die(void) {
    raise(SIGKILL);
    _exit(FAIL);
}

void er_ready_mark(er_atomic64_t *words, uint32_t first, uint32_t count) {
    if (die_at == BEFORE_MARK) die();
    real_ready_mark(words, first, count);
    if (die_at == BEFORE_COUNT) die();
}

int er_unpark(er_atomic32_t *word) {
    if (die_at == BEFORE_WAKING) die();
    return real_unpark(word);
}

#endif
