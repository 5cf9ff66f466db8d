/* SPDX-License-Identifier: MIT
 *
 * A worker's stderr: passed on to the caller's, and its end is kept in memory that both map.
 *
 * All of it happens outside of the interpreter: an env that writes while it holds the interpreter's
 * lock is read all the same.
 *
 * The memory is a file: a head, the last bytes (a ring of ER_TAIL_BYTES), and what was read last,
 * zeros when nothing is under way. If the worker is killed meanwhile, the caller goes on where it stopped.
 */
#ifndef ER_STDERR_H
#define ER_STDERR_H

#include <stdint.h>

#define ER_TAIL_BYTES 16384
#define ER_INCOMING_BYTES 65536
#define ER_STACK_BYTES 32768 /* behind the incoming bytes: stacks that faulthandler writes */

typedef struct {
    uint64_t count;  /* bytes so far */
    uint32_t kept;   /* of the incoming ones that are counted in `count`; 0: none was yet */
    uint32_t passed; /* of the incoming ones that were passed on */
} er_tail_head_t;

/* For a thread of its own: reads `from` to its end, keeps what comes in the file `kept_in` and passes
 * it on to `to` (-1: nowhere). 0 or -errno. */
int er_stderr_capture(int from, int to, int kept_in);

/* Writes to a descriptor that may be slow without changing it. Gives up when nothing was taken for
 * patience_ns, or when it cannot be written at all. The number of bytes taken. */
int64_t er_pass_on(int to, const void *data, int64_t bytes, int64_t patience_ns);

#endif
