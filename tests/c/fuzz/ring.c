/* SPDX-License-Identifier: MIT
 *
 * One property: whatever the positions in a ring say, each call returns what it documents and touches
 * nothing beyond the ring; and as long as nobody writes nonsense there, what is read was written.
 *
 * The input: a byte for the capacity and the beginning, then calls of three bytes: which, two for a
 * number.
 */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "er_ring.h"

enum { MOST = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    er_ring_t shared;
    er_ring_view_t in, out;
    uint8_t *bytes;
    uint64_t capacity;
    uint64_t written, read; /* bytes, as long as the ring is sane */
    int sane;
} rig_t;

static uint8_t *others; /* bytes beside the ring; the sanitizer knows their end */

static uint64_t beginning(uint8_t code) { return code & 1 ? UINT64_MAX - 20 : code & 2 ? 7 : 0; }

static void open_rig(rig_t *rig, uint8_t code) {
    memset(rig, 0, sizeof *rig);
    rig->capacity = UINT64_C(1) << (code >> 4) % 7;
    rig->bytes = malloc(rig->capacity); /* the sanitizer knows its end */
    CHECK(rig->bytes);
    memset(rig->bytes, 0, rig->capacity);
    er_store_relaxed(&rig->shared.tail, beginning(code));
    er_store_relaxed(&rig->shared.head, beginning(code));
    int r = er_ring_open_producer(&rig->in, &rig->shared, rig->bytes, rig->capacity);
    CHECK_EQ(r, er_ring_open_consumer(&rig->out, &rig->shared, rig->bytes, rig->capacity));
    CHECK(r == 0 || r == -EINVAL);
    rig->sane = 1;
}

static void put_in(rig_t *rig, uint64_t count, int whole) {
    uint8_t *from = others + MOST - count;
    for (uint64_t i = 0; i < count; i++) from[i] = (uint8_t)(rig->written + i);
    int64_t r = whole ? er_ring_put(&rig->in, from, count) : er_ring_write(&rig->in, from, count);
    if (r == 0 && whole) r = (int64_t)count;
    CHECK(r >= 0 ? r <= (int64_t)count && r <= (int64_t)rig->capacity
                 : r == -EPROTO || (whole && r == -EAGAIN));
    if (rig->sane) {
        uint64_t room = rig->capacity - (rig->written - rig->read);
        CHECK(r != -EPROTO);
        if (whole) CHECK_EQ(r, count <= room ? (int64_t)count : -EAGAIN);
        if (!whole) CHECK_EQ(r, count < room ? count : room);
    }
    if (r > 0) rig->written += (uint64_t)r;
}

static void take_out(rig_t *rig, uint64_t count, int whole) {
    uint8_t *to = others + MOST - count;
    int64_t r = whole ? er_ring_get(&rig->out, to, count) : er_ring_read(&rig->out, to, count);
    if (r == 0 && whole) r = (int64_t)count;
    CHECK(r >= 0 ? r <= (int64_t)count && r <= (int64_t)rig->capacity
                 : r == -EPROTO || (whole && r == -EAGAIN));
    if (rig->sane) {
        uint64_t there = rig->written - rig->read;
        CHECK(r != -EPROTO);
        if (whole) CHECK_EQ(r, count <= there ? (int64_t)count : -EAGAIN);
        if (!whole) CHECK_EQ(r, count < there ? count : there);
        for (int64_t i = 0; i < r; i++) CHECK_EQ(to[i], (uint8_t)(rig->read + (uint64_t)i));
    }
    if (r > 0) rig->read += (uint64_t)r;
}

/* A position that a worker may have written: near the other one, or anywhere. */
static uint64_t nonsense(const rig_t *rig, uint64_t number) {
    uint64_t state = number;
    return number & 1 ? next_random(&state) : rig->in.mine + number / 2 - MOST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!others) others = malloc(MOST);
    CHECK(others);
    rig_t rig;
    open_rig(&rig, size ? data[0] : 0);
    for (size_t i = 1; i + 3 <= size && rig.in.capacity; i += 3) {
        uint64_t number = (uint64_t)(data[i + 1] | data[i + 2] << 8), count = number % MOST;
        switch (data[i] % 9) {
        case 0:
            put_in(&rig, count, 0);
            break;
        case 1:
            put_in(&rig, count, 1);
            break;
        case 2:
            take_out(&rig, count, 0);
            break;
        case 3:
            take_out(&rig, count, 1);
            break;
        case 4:
            CHECK(er_ring_holds_some(&rig.out) == (rig.written != rig.read) || !rig.sane);
            break;
        case 5:
            er_store_relaxed(&rig.shared.head, nonsense(&rig, number));
            rig.sane = 0;
            break;
        case 6:
            er_store_relaxed(&rig.shared.tail, nonsense(&rig, number));
            rig.sane = 0;
            break;
        case 7: /* the producer is another process now, and finds what is there */
            CHECK_EQ(er_ring_open_producer(&rig.in, &rig.shared, rig.bytes, rig.capacity), 0);
            break;
        case 8: /* so is the consumer */
            CHECK_EQ(er_ring_open_consumer(&rig.out, &rig.shared, rig.bytes, rig.capacity), 0);
            break;
        }
    }
    free(rig.bytes);
    return 0;
}
