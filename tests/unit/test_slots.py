# SPDX-License-Identifier: MIT
"""Slots and leases: an array that was handed out keeps its slot, and gives it back once."""

import gc
import pickle

import numpy as np
import pytest

from envring.core import _core
from envring.transport.segment import SegmentFile, SegmentSpec, create

N = 4
SHAPE = (N, 1000)


def make_segment():
    outcomes = [(16384, (N,), "<f8"), (16512, (N,), "|b1"), (16640, (N,), "|b1")]
    config = {
        "num_envs": N,
        "num_workers": 1,
        "num_slots": 4,
        "command_ring_bytes": 1024,
        "reply_ring_bytes": 1024,
        "action_bytes": 128,
        "final_bytes": 128,
        "slot_bytes": 16768,
        "info_bytes": 4096,
    }
    made = create(SegmentSpec(config, [(0, SHAPE, "<f4")], outcomes, []), SegmentFile())
    made.close_fd()
    return made


def reader_of(segment, pool, lease_bytes=128):
    return _core.BatchReader(pool, segment.spec.obs_leaves, segment.spec.outcomes, lease_bytes)


def test_slots_run_out_and_come_back():
    segment = make_segment()
    pool = _core.SlotPool(segment.core, lambda slot: True)
    taken = [pool.take() for _ in range(3)]
    assert sorted(taken) == [1, 2, 3]
    assert pool.take() == 0, "slot 0 says that there is none"
    pool.give_back(2)
    assert pool.take() == 2


def test_memory_that_is_not_there_is_asked_for_once():
    segment = make_segment()
    asked = []
    pool = _core.SlotPool(segment.core, lambda slot: asked.append(slot) or slot < 2)
    assert [pool.take() for _ in range(4)] == [1, 0, 0, 0]
    assert asked == [1, 2]


def test_a_slot_is_free_when_the_last_array_over_it_goes():
    segment = make_segment()
    pool = _core.SlotPool(segment.core, segment.back_slot)
    reader = reader_of(segment, pool)
    slot = pool.take()
    segment.slot_arrays(slot)[0][0][...] = 7
    (array,) = reader.observations(slot)
    part = array[1:, ::2]
    assert pool.leased == 1
    del array
    gc.collect()
    assert pool.leased == 1, "a view of a view still needs it"
    assert (part == 7).all()
    del part
    gc.collect()
    assert pool.leased == 0


def test_leased_arrays_are_writeable_and_outlive_everything():
    segment = make_segment()
    pool = _core.SlotPool(segment.core, segment.back_slot)
    (array,) = reader_of(segment, pool).observations(pool.take())
    del pool, segment
    gc.collect()
    array[...] = 3
    assert array.flags.writeable
    assert array.sum() == 3 * array.size


def test_small_arrays_are_copies_that_hold_no_slot():
    segment = make_segment()
    pool = _core.SlotPool(segment.core, segment.back_slot)
    reader = reader_of(segment, pool, lease_bytes=1 << 20)
    assert not reader.leases
    (array,) = reader.observations(0)
    array[...] = 5
    assert not segment.slot_arrays(0)[0][0].any()


def test_slot_zero_is_copied_out_even_if_large():
    segment = make_segment()
    pool = _core.SlotPool(segment.core, segment.back_slot)
    (array,) = reader_of(segment, pool).observations(0)
    array[...] = 5
    assert not segment.slot_arrays(0)[0][0].any()


def test_outcomes_are_fresh_float64_and_bool():
    segment = make_segment()
    pool = _core.SlotPool(segment.core, segment.back_slot)
    reader = reader_of(segment, pool)
    segment.slot_arrays(0)[1][...] = [1, 2, 3, 4]
    segment.slot_arrays(0)[2][...] = [True, False, True, False]
    rewards, terminations, truncations = reader.outcomes(0)
    segment.slot_arrays(0)[1][...] = 0
    assert rewards.dtype == np.float64
    assert rewards.tolist() == [1, 2, 3, 4]
    assert terminations.dtype == truncations.dtype == np.bool_
    assert terminations.tolist() == [True, False, True, False]


def test_action_slab_takes_only_what_fits_to_the_letter():
    view = np.zeros((N, 2), np.float32)
    slab = _core.ActionSlab(view)
    good = np.arange(2 * N, dtype=np.float32).reshape(N, 2)
    assert slab.put(good)
    assert (view == good).all()
    for bad in (good.astype(np.float64), good[:3], good.T.copy().T, good.tolist(), good.ravel()):
        assert not slab.put(bad)
    assert (view == good).all()


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "float64", "bool"])
def test_the_action_slab_takes_numpy_scalars_of_its_dtype(dtype):
    view = np.zeros(3, dtype)
    slab = _core.ActionSlab(view)
    assert slab.put([view.dtype.type(value) for value in (1, 0, 1)])
    assert view.tolist() == [1, 0, 1]
    other = np.float64 if dtype != "float64" else np.float32
    for refused in ([1, 0, 1], [other(1)] * 3, [view.dtype.type(1)] * 2, [view.dtype.type(1)] * 4):
        assert not slab.put(refused)


def test_the_action_slab_takes_a_list_of_rows():
    view = np.zeros((2, 3), np.float32)
    slab = _core.ActionSlab(view)
    rows = [np.float32([1, 2, 3]), np.float32([4, 5, 6])]
    assert slab.put(rows)
    assert view.tolist() == [[1, 2, 3], [4, 5, 6]]
    strided = np.zeros((3, 2), np.float32).T
    for refused in (
        rows[:1],
        [rows[0], rows[1].astype(np.float64)],
        [rows[0], rows[1][:2]],
        [rows[0], rows[1][None]],
        [rows[0], [4.0, 5.0, 6.0]],
        list(strided),
    ):
        assert not slab.put(refused)


def test_the_action_slab_knows_a_dtype_that_was_pickled():
    dtype = pickle.loads(pickle.dumps(np.dtype(np.float32)))
    view = np.zeros((2, 3), dtype)
    for dtype in (np.dtype(np.float32), pickle.loads(pickle.dumps(np.dtype(np.float32)))):
        assert _core.ActionSlab(view).put(np.ones((2, 3), dtype))
        assert _core.ActionSlab(view).put(list(np.ones((2, 3), dtype)))
    assert not _core.ActionSlab(view).put(np.ones((2, 3), ">f4"))
