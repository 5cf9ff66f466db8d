/* SPDX-License-Identifier: MIT */
#include "er_ring.h"

#include <errno.h>
#include <string.h>

static int open_view(er_ring_view_t *view, er_ring_t *shared, void *data, uint64_t capacity) {
    if (capacity == 0 || (capacity & (capacity - 1)) != 0) return -EINVAL;
    view->shared = shared;
    view->data = data;
    view->capacity = capacity;
    return 0;
}

int er_ring_open_producer(er_ring_view_t *view, er_ring_t *shared, void *data, uint64_t capacity) {
    view->mine = er_load_relaxed(&shared->tail);
    view->peer = er_load_acquire(&shared->head); /* SYNC POINT: ring free */
    return open_view(view, shared, data, capacity);
}

int er_ring_open_consumer(er_ring_view_t *view, er_ring_t *shared, void *data, uint64_t capacity) {
    view->mine = er_load_relaxed(&shared->head);
    view->peer = er_load_acquire(&shared->tail); /* SYNC POINT: ring data */
    return open_view(view, shared, data, capacity);
}

/* Relaxed: the new process maps the segment later than this. */
void er_ring_restart(er_ring_view_t *view) {
    view->peer = view->mine;
    er_store_relaxed(&view->shared->tail, view->mine);
    er_store_relaxed(&view->shared->head, view->mine);
}

/* Free bytes, looking at the peer only when the last look does not suffice. */
static int64_t room(er_ring_view_t *view, uint64_t wanted) {
    uint64_t used = view->mine - view->peer;
    if (view->capacity - used < wanted) {
        /* SYNC POINT: ring free. Acquire pairs with the consumer's release: it has read them. */
        view->peer = er_load_acquire(&view->shared->head);
        used = view->mine - view->peer;
    }
    return used > view->capacity ? -EPROTO : (int64_t)(view->capacity - used);
}

static int64_t readable(er_ring_view_t *view, uint64_t wanted) {
    uint64_t count = view->peer - view->mine;
    if (count < wanted) {
        /* SYNC POINT: ring data. Acquire pairs with the producer's release: the bytes are there. */
        view->peer = er_load_acquire(&view->shared->tail);
        count = view->peer - view->mine;
    }
    return count > view->capacity ? -EPROTO : (int64_t)count;
}

static void commit_write(er_ring_view_t *view, const uint8_t *bytes, uint64_t count) {
    uint64_t at = view->mine & (view->capacity - 1);
    uint64_t first = view->capacity - at < count ? view->capacity - at : count;
    memcpy(view->data + at, bytes, first);
    memcpy(view->data, bytes + first, count - first);
    view->mine += count;
    er_store_release(&view->shared->tail, view->mine); /* SYNC POINT: ring data */
}

static void commit_read(er_ring_view_t *view, uint8_t *bytes, uint64_t count) {
    uint64_t at = view->mine & (view->capacity - 1);
    uint64_t first = view->capacity - at < count ? view->capacity - at : count;
    memcpy(bytes, view->data + at, first);
    memcpy(bytes + first, view->data, count - first);
    view->mine += count;
    er_store_release(&view->shared->head, view->mine); /* SYNC POINT: ring free */
}

int64_t er_ring_write(er_ring_view_t *view, const void *bytes, uint64_t count) {
    int64_t space = room(view, count);
    if (space <= 0) return space;
    uint64_t n = (uint64_t)space < count ? (uint64_t)space : count;
    if (n) commit_write(view, bytes, n);
    return (int64_t)n;
}

int er_ring_put(er_ring_view_t *view, const void *record, uint64_t count) {
    int64_t space = room(view, count);
    if (space < 0) return (int)space;
    if ((uint64_t)space < count) return -EAGAIN;
    commit_write(view, record, count);
    return 0;
}

int64_t er_ring_read(er_ring_view_t *view, void *bytes, uint64_t count) {
    int64_t there = readable(view, count);
    if (there <= 0) return there;
    uint64_t n = (uint64_t)there < count ? (uint64_t)there : count;
    if (n) commit_read(view, bytes, n);
    return (int64_t)n;
}

int er_ring_get(er_ring_view_t *view, void *record, uint64_t count) {
    int64_t there = readable(view, count);
    if (there < 0) return (int)there;
    if ((uint64_t)there < count) return -EAGAIN;
    commit_read(view, record, count);
    return 0;
}

int er_ring_holds_some(er_ring_view_t *view) {
    /* SYNC POINT: ring data */
    return er_load_acquire(&view->shared->tail) != view->mine;
}
