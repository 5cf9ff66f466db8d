# SPDX-License-Identifier: MIT
"""Spaces as data: stand-ins in every interpreter, Gymnasium's own in this one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from envring._foreign.envring_worker.envs.spaces import describe_space, value_to_data
from envring.batch.space_data import UnknownSpace, build_space, restore_value
from envring.errors import SpaceDataError
from envring.testing import CustomSpace, assert_same_batch, example_spaces
from envring.transport import codec
from support.foreign_prefixes import VERSIONS
from worker.interpreters import each_check, run_check


@each_check(VERSIONS, ["plain_describe.py"])
def test_stand_ins(name, script, check, foreign_python):
    run_check(foreign_python(name), script, check, PYTHONWARNINGS="error")


def known_spaces():
    """Gymnasium's, those that hold a user's own left out."""
    found = example_spaces() | {
        "int_unbounded": spaces.Box(-np.inf, np.inf, (2,), np.int64),
        "int_half_bounded": spaces.Box(-np.inf, 3, (2,), np.int32),
        "int8_full": spaces.Box(-128, 127, (2,), np.int8),
        "mixed_bounds": spaces.Box(np.array([0, -np.inf]), np.array([np.inf, 1]), dtype=np.float64),
        "multi_start": spaces.MultiDiscrete([3, 4], start=[-1, 2], dtype=np.int32),
        "text_order": spaces.Text(4, min_length=0, charset="zyx\u00e9"),
        "unsorted": spaces.Dict([("z", spaces.Discrete(2)), ("a", spaces.Discrete(3))]),
        "odd_keys": spaces.Dict([(1, spaces.Discrete(2)), (("a", 2), spaces.Discrete(3))]),
        "stacked": spaces.Sequence(spaces.Box(0, 1, (2,)), stack=True),
        "graphs": spaces.Sequence(spaces.Graph(spaces.Discrete(3), None)),
        "choice_of_graphs": spaces.OneOf(
            [spaces.Graph(spaces.Box(0, 1, (2,)), spaces.Discrete(2)), spaces.Discrete(2)]
        ),
    }
    if "discrete_uint8" in found:  # from Gymnasium 1.2 on
        found["small_discrete"] = spaces.Discrete(5, start=-2, dtype=np.int16)
    return {name: space for name, space in found.items() if name not in ("custom", "mixed")}


@pytest.mark.parametrize("name", known_spaces())
def test_gymnasiums_spaces_come_back_equal(name):
    space = known_spaces()[name]
    built = build_space(codec.loads(codec.dumps(describe_space(space))))
    assert built == space and repr(built) == repr(space)
    for part in (space, built):
        part.seed(5)
    for _ in range(5):
        value = space.sample()
        assert_same_batch(built.sample(), value)
        assert_same_batch(
            restore_value(built, codec.loads(codec.dumps(value_to_data(space, value)))), value
        )


def test_a_users_own_space_has_a_stand_in():
    name = f"{CustomSpace.__module__}.CustomSpace"
    built = build_space(codec.loads(codec.dumps(describe_space(example_spaces()["mixed"]))))
    own = built["pair"][0]
    assert own == UnknownSpace(name) and hash(own) == hash(UnknownSpace(name))
    assert own != UnknownSpace("other") and own != CustomSpace()
    assert repr(own) == f"UnknownSpace({name!r})"
    assert own.contains("anything") and own.shape is own.dtype is None
    assert list(batch_space(own, 2)) == [own, own]
    with pytest.raises(SpaceDataError, match="CustomSpace"):
        built.sample()


def test_describing_says_nothing_on_the_way():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for space in known_spaces().values():
            describe_space(space)
    assert not caught
