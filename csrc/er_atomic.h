/* SPDX-License-Identifier: MIT
 *
 * The only file that names C11 atomics.
 *
 * Every shared word of a segment is read and written through these. Orderings are chosen at the
 * point of use and each acquire or release there carries a "SYNC POINT: name" comment; both sides
 * of a pair name the same point.
 */
#ifndef ER_ATOMIC_H
#define ER_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "a lock inside one process protects nothing that two share");

typedef _Atomic uint32_t er_atomic32_t;
typedef _Atomic uint64_t er_atomic64_t;
typedef _Atomic int32_t er_atomic_i32_t;

#define er_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define er_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define er_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define er_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define er_fetch_or_release(p, v) atomic_fetch_or_explicit((p), (v), memory_order_release)
#define er_fetch_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define er_fetch_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define er_exchange_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define er_cas_acq_rel(p, expected, desired)                                                       \
    atomic_compare_exchange_weak_explicit((p), (expected), (desired), memory_order_acq_rel,        \
                                          memory_order_acquire)

static inline void er_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
