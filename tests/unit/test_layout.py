# SPDX-License-Identifier: MIT
"""Layouts: leaves, plans, batches, and observations that fit or do not."""

import itertools

import numpy as np
import pytest
from gymnasium import spaces

from envring._foreign.envring_worker.data.obs import ObservationMismatch, ObsWriter
from envring.batch.layout import Layout

NESTED = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (2, 3), np.uint8),
        "pair": spaces.Tuple((spaces.Discrete(3), spaces.Text(5))),
    }
)


def arrays_of(layout, num_envs):
    return [
        None if leaf.dtype is None else np.zeros((num_envs, *leaf.shape), leaf.dtype)
        for leaf in layout.leaves
    ]


def test_leaves_are_numbered_in_the_spaces_order():
    layout = Layout(NESTED)
    assert [(leaf.index, leaf.fixed, leaf.shape) for leaf in layout.leaves] == [
        (0, True, (2, 3)),
        (1, True, ()),
        (2, False, ()),
    ]
    assert layout.has_dynamic
    built = layout.build(["a", "b", "c"])
    assert built == {"image": "a", "pair": ("b", "c")}
    assert list(built) == list(NESTED)


def test_arrays_do_not_overlap():
    layout = Layout(
        spaces.Dict({k: spaces.Box(0, 1, (n,)) for k, n in zip("abc", (1, 33, 7), strict=False)})
    )
    offsets, end = layout.offsets(5)
    spans = [(at, at + leaf.nbytes(5)) for at, leaf in zip(offsets, layout.leaves, strict=False)]
    assert all(a_end <= b for (_, a_end), (b, _) in itertools.pairwise(spans))
    assert spans[-1][1] <= end


def test_dtype_is_numpys_own_instance():
    import pickle

    space = pickle.loads(pickle.dumps(spaces.Box(0, 1, (2,), np.float32)))
    assert Layout(space).leaves[0].dtype is np.dtype(np.float32)


@pytest.mark.parametrize(
    ("space", "obs", "stored"),
    [
        (spaces.Box(-1, 1, (2,), np.float32), [0.5, -0.5], [0.5, -0.5]),
        (spaces.Box(-1, 1, (2,), np.float32), np.array([0.25, 1.0]), [0.25, 1.0]),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([3, 255]), [3, 255]),
        (spaces.Box(-9, 9, (2,), np.float64), np.array([1, 2]), [1.0, 2.0]),
        (spaces.Discrete(5, start=2), 4, 4),
        (spaces.Discrete(5), np.uint8(3), 3),
        (spaces.MultiBinary(2), np.array([True, False]), [1, 0]),
    ],
)
def test_what_fits_is_stored(space, obs, stored):
    layout = Layout(space)
    arrays = arrays_of(layout, 3)
    ObsWriter(layout.plan).store(arrays, {}, 1, obs)
    assert arrays[0][1].tolist() == stored
    assert not arrays[0][[0, 2]].any()


@pytest.mark.parametrize(
    ("space", "obs", "complaint"),
    [
        (spaces.Box(-1, 1, (2,), np.float32), np.zeros(3, np.float32), "shape"),
        (spaces.Box(-1, 1, (2,), np.float32), np.float32(0), "shape"),
        (spaces.Box(-1, 1, (2,), np.float32), np.zeros(2, np.complex64), "dtype"),
        (spaces.Box(0, 9, (2,), np.int64), np.zeros(2), "dtype"),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([3, 256]), "dtype"),
        (spaces.Discrete(5), None, "dtype"),
        (spaces.Discrete(5), 2.0, "dtype"),
        (spaces.Discrete(5), "2", "dtype"),
        (NESTED, {"image": np.zeros((2, 3), np.uint8)}, "pair"),
        (NESTED, None, "image"),
    ],
)
def test_what_does_not_fit_is_refused(space, obs, complaint):
    layout = Layout(space)
    with pytest.raises(ObservationMismatch, match=complaint):
        ObsWriter(layout.plan).store(arrays_of(layout, 2), {}, 0, obs)


@pytest.mark.parametrize(
    ("space", "obs", "exact"),
    [
        (spaces.Box(-1, 1, (2,), np.float32), np.zeros(2, np.float32), True),
        (spaces.Box(-1, 1, (2,), np.float32), np.zeros(2), False),
        (spaces.Box(-1, 1, (2,), np.float32), [0.0, 0.0], False),
        (spaces.Discrete(5), np.int64(3), True),
        (spaces.Discrete(5), 3, False),
        (spaces.Discrete(5), np.array(3), False),
        (spaces.Text(3), "a", False),
    ],
)
def test_exact_means_that_reading_back_gives_the_same(space, obs, exact):
    layout = Layout(space)
    arrays = arrays_of(layout, 2)
    assert ObsWriter(layout.plan).store_exact(arrays, 1, obs) is exact
    if exact:
        back = layout.row(arrays, 1)
        assert type(back) is type(obs)
        assert np.array_equal(back, obs)
