/* SPDX-License-Identifier: MIT
 *
 * SPSC ring of bytes.
 *
 * Positions count bytes for ever and each has a single writer, so nothing is ever claimed and a
 * killed peer orphans nothing: what it had not committed was never there. Bytes wrap around a
 * region whose capacity is a power of two. A reader takes nothing on trust: a position that says
 * more than the capacity is an error (-EPROTO), never an access out of bounds.
 *
 * er_ring_put writes a record whole or not at all (commands); er_ring_write writes as much as fits
 * (replies, which may be longer than the ring: the reader drains while the writer goes on).
 */
#ifndef ER_RING_H
#define ER_RING_H

#include "er_format.h"

/* One side's view of a ring; private to one process. */
typedef struct {
    er_ring_t *shared;
    uint8_t *data;
    uint64_t capacity; /* power of two */
    uint64_t mine;     /* own position */
    uint64_t peer;     /* the other position as last seen: saves a cache miss while there is room */
} er_ring_view_t;

/* Views start where the shared positions stand. Return 0 or -EINVAL (capacity). */
int er_ring_open_producer(er_ring_view_t *view, er_ring_t *shared, void *data, uint64_t capacity);
int er_ring_open_consumer(er_ring_view_t *view, er_ring_t *shared, void *data, uint64_t capacity);

/* Producer. Bytes written, 0 if full (er_ring_put: -EAGAIN), -EPROTO on a corrupt peer position. */
int64_t er_ring_write(er_ring_view_t *view, const void *bytes, uint64_t count);
int er_ring_put(er_ring_view_t *view, const void *record, uint64_t count);

/* Consumer. Bytes read, 0 if empty (er_ring_get: -EAGAIN), -EPROTO on a corrupt peer position. */
int64_t er_ring_read(er_ring_view_t *view, void *bytes, uint64_t count);
int er_ring_get(er_ring_view_t *view, void *record, uint64_t count);

/* Empties the ring where this side stands, whatever the other side's position says: its process is
 * gone. Whoever takes its place opens its view afterwards. */
void er_ring_restart(er_ring_view_t *view);

/* Whether there is anything to read: a look that costs nothing. */
int er_ring_holds_some(er_ring_view_t *view);

#endif
