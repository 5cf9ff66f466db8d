# SPDX-License-Identifier: MIT
# What workers count, in words of the segment. Part of _core.pyx.


STATS_BYTES = sizeof(er_stats_t)


cdef dict _words(er_stats_t *s):
    return {
        "batches": er_load_relaxed(&s.batches),
        "env_steps": er_load_relaxed(&s.env_steps),
        "busy_ns": er_load_relaxed(&s.busy_ns),
        "wait_ns": er_load_relaxed(&s.wait_ns),
        "spins": er_load_relaxed(&s.spins),
        "parks": er_load_relaxed(&s.parks),
        "slow_rows": er_load_relaxed(&s.slow_rows),
        "env_ns": er_load_relaxed(&s.env_ns),
        "began_ns": er_load_relaxed(&s.began_ns),
        "ended_ns": er_load_relaxed(&s.ended_ns),
        "finished_ns": max(er_load_relaxed(&s.finished_ns[0]), er_load_relaxed(&s.finished_ns[1])),
        "spin_ns": er_load_relaxed(&s.spin_ns),
        "slowest": er_load_relaxed(&s.slowest),
        "slowest_ns": er_load_relaxed(&s.slowest_ns),
    }


def read_stats(const unsigned char[::1] data not None):
    """Statistics words as `Segment.stats` gives them, of a copy of their bytes.

    Raises:
        ValueError: these are not STATS_BYTES bytes.
    """
    cdef er_stats_t stats
    if data.shape[0] != sizeof(stats):
        raise ValueError(f"{data.shape[0]} bytes, not {sizeof(stats)}")
    memcpy(&stats, &data[0], sizeof(stats))
    return _words(&stats)
