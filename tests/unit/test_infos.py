# SPDX-License-Identifier: MIT
"""Infos through the columns equal what Gymnasium's own ``_add_info`` makes of them."""

from __future__ import annotations

import enum
import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envring._foreign.envring_worker.data.infos import ODD
from envring.errors import InfoError
from support.info_ring import Ring, assert_same, crossed, oracle


class Level(enum.IntEnum):
    LOW = 1


class Celsius(float):
    pass


class Tagged(np.ndarray):
    pass


# --- what environments return as infos

NUMBERS = [np.dtype(code).type for code in "bBhHiIlLqQefdgFDG"]
ODD_FLOATS = [0.0, -0.0, 1.5, float("nan"), float("inf"), -3.25, 6e4]


def number(draw_from: Any) -> st.SearchStrategy[Any]:
    if issubclass(draw_from, np.integer):
        return st.integers(0, 127).map(draw_from)
    if issubclass(draw_from, np.complexfloating):
        return st.sampled_from(ODD_FLOATS).map(lambda value: draw_from(complex(value, -0.0)))
    return st.sampled_from(ODD_FLOATS).map(lambda value: draw_from(value) / draw_from(3))


DTYPES = [*map(np.dtype, "?bHilqefdgFDG"), np.dtype(">f8"), np.dtype(">i2"), np.dtype("U3")]
DTYPES += [np.dtype("m8[s]"), np.dtype([("x", "f4")]), np.dtype(object)]
SHAPES: list[tuple[int, ...]] = [(), (0,), (2,), (3,), (1,), (2, 3), (2, 0)]


@st.composite
def arrays(draw: Any, dtype: Any = None, shape: Any = None) -> np.ndarray:
    dtype = draw(st.sampled_from(DTYPES)) if dtype is None else dtype
    shape = draw(st.sampled_from(SHAPES)) if shape is None else shape
    array = np.zeros(shape, dtype)
    if dtype.kind in "fc":
        array[...] = draw(st.sampled_from(ODD_FLOATS))
        array.flat[1:] = 0.1
    elif dtype.kind in "?biu":
        array.flat[:] = np.arange(array.size) % 2 + draw(st.integers(0, 3))
    order = draw(st.integers(0, 4))
    if order == 1:
        return np.asfortranarray(array) if array.ndim else array
    if order == 2 and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if order == 3 and array.ndim:
        return array[::-1]
    return array.view(Tagged) if order == 4 and draw(st.booleans()) else array


PLAIN = [
    st.floats(width=64),
    st.sampled_from([-0.0, float("nan"), 0.0]),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
]
OBJECTS = [
    st.text(max_size=3),
    st.none(),
    st.lists(st.integers(0, 3), max_size=2),
    st.tuples(st.integers(0, 3)),
    st.booleans().map(np.bool_),
    st.just(Level.LOW),
    st.just(Celsius(1.5)),
    st.just(1.5 - 2j),
    st.just(np.str_("s")),
    st.just(np.datetime64("2020-01-01")),
    st.just({"set"}),
]
# a timedelta64 without a unit: NumPy 2.5 warns of its constructor and cannot hash it
DURATIONS = st.builds(np.int64(3).view, st.just("m8"))
RARE = [st.just(2**63), st.just(-(2**70)), DURATIONS, arrays()]
SCALARS = [*PLAIN, *map(number, NUMBERS), *OBJECTS]
ANY = st.one_of(*SCALARS, *RARE)
KEYS = ["a", "b", "x", "_x", "final_obs", "n", 3, "3"]


@st.composite
def kinds(draw: Any, depth: int = 2) -> st.SearchStrategy[Any]:
    """Draw what a key usually holds: a strategy, so that most batches do batch."""
    choice = draw(st.integers(0, 9))
    if choice <= 3:
        return draw(st.sampled_from(PLAIN))
    if choice == 4:
        return number(draw(st.sampled_from(NUMBERS)))
    if choice == 5:
        return draw(st.sampled_from(OBJECTS))
    if choice <= 7:
        shape = draw(st.sampled_from([(), (0,), (2,), (2, 3)]))
        return arrays(draw(st.sampled_from(DTYPES)), shape)
    if depth and choice == 8:
        return draw(schemas(depth - 1))
    return ANY


@st.composite
def schemas(draw: Any, depth: int = 2) -> st.SearchStrategy[dict[Any, Any]]:
    keys = draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True))
    usual = {key: draw(kinds(depth)) for key in keys}
    rare = st.sampled_from([*usual.values(), ANY, st.just({})])
    always = st.fixed_dictionaries(usual)

    @st.composite
    def info(draw: Any) -> dict[Any, Any]:
        chance = draw(st.integers(0, 11))
        if chance <= 7 or not keys:
            return draw(always)
        picked = draw(st.lists(st.sampled_from(keys), unique=True))
        made = {key: draw(usual[key]) for key in picked}
        if chance >= 10:
            made[draw(st.sampled_from(KEYS))] = draw(draw(rare))
        return OrderedDict(made) if chance == 11 and draw(st.booleans()) else made

    return info()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_sequences_of_batches_equal_gymnasium(data: st.DataObject) -> None:
    num_envs = data.draw(st.integers(1, 5), "num_envs")
    ring = Ring(num_envs, data.draw(st.integers(1, num_envs), "num_workers"))
    info = data.draw(schemas())
    for _ in range(data.draw(st.integers(1, 5), "batches")):
        batch = data.draw(st.lists(info, min_size=num_envs, max_size=num_envs), "infos")
        finals = {}
        for env in data.draw(st.sets(st.integers(0, num_envs - 1), max_size=2), "finals"):
            if "final_obs" not in batch[env]:
                finals[env] = data.draw(arrays(np.dtype("f4"), (2,)))
                batch[env] = {"final_obs": finals[env], "final_info": data.draw(info), **batch[env]}
        announce = data.draw(st.booleans(), "announce")
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                expected = oracle(batch)
            except Exception:
                with pytest.raises(InfoError):
                    ring.step(batch, finals, announce)
            else:
                assert_same(ring.step(batch, finals, announce), expected)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_overridden_add_info_sees_what_the_environments_returned(data: st.DataObject) -> None:
    ring = Ring(3, 2)
    seen: list[Any] = []

    def add_info(batched: dict[str, Any], env_info: dict[str, Any], env: int) -> dict[str, Any]:
        seen.append((env, env_info))
        return {"count": len(seen), **batched}

    info = data.draw(schemas())
    for _ in range(3):
        batch = data.draw(st.lists(info, min_size=3, max_size=3), "infos")
        seen.clear()
        assert ring.step(batch, add_info=add_info) == {"count": 1}
        assert [env for env, _ in seen] == [0, 1, 2]
        for (_, ours), theirs in zip(seen, crossed(batch), strict=True):
            if not (type(theirs) is OrderedDict and not theirs):
                assert_same(ours, theirs)


# --- failures


@pytest.mark.parametrize(
    ("batch", "key", "others"),
    [
        ([{"p": np.zeros(2)}, {}, {"p": np.zeros(3)}], "'p' of env 2", "begun by env 0 "),
        (
            [{"d": {"e": 1}}, {"d": {"e": 2}}, {"d": {"e": None}}],
            "'d.e' of env 2",
            "begun by envs 0, 1 ",
        ),
        ([{"p": 1}, {"p": {"q": 1}}, {}], "'p' of env 1", "begun by env 0 "),
        ([{"ok": 1, "p": 2**70}, {}, {}], "'p' of env 0", "fit an array "),
    ],
)
def test_values_that_do_not_batch_are_named(batch: list[Any], key: str, others: str) -> None:
    ring = Ring(3)
    for _ in range(2):
        with pytest.raises(InfoError, match=f"{key}.*{others}") as caught:
            ring.step(batch)
        with pytest.raises(type(caught.value.__cause__)):
            oracle(batch)
        assert_same(ring.step([{"p": 1}] * 3), oracle([{"p": 1}] * 3))


def test_an_info_that_contains_itself() -> None:
    info: dict[str, Any] = {}
    info["me"] = info
    with pytest.raises(InfoError, match="me.me"):
        Ring(1).step([info])


@pytest.mark.parametrize("info", [None, 3, [("a", 1)], "text"])
@pytest.mark.parametrize("add_info", [None, lambda batched, info, env: batched])
def test_infos_that_are_no_dicts_are_named(info: Any, add_info: Any) -> None:
    ring = Ring(2)
    with pytest.raises(InfoError, match=f"Env 1 .* {type(info).__name__}"):
        ring.step([{}, info], add_info=add_info)
    assert ring.step([{}, {}]) == {}


def test_errors_of_an_overridden_add_info_are_its_own() -> None:
    def add_info(*_: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Ring(2).step([{}, {}], add_info=add_info)


@pytest.mark.parametrize("add_info", [None, lambda batched, info, env: batched])
def test_what_a_damaged_segment_may_hold(add_info: Any) -> None:
    ring = Ring(3)
    ring.step([{"s": "text"}] * 3)

    def assemble(tids: list[int], objects: Any) -> Any:
        array = np.array(tids, np.uint16)
        return ring.assembler.assemble(array, objects, {}, int, add_info)

    with pytest.raises(InfoError, match="env 1 names template 77"):
        assemble([0, 77, 1], {2: ["a"]})
    with pytest.raises(InfoError, match="lacks the info of env 2"):
        assemble([0, 0, ODD], {})
    for objects in ({}, {1: []}, {1: None}):
        with pytest.raises(InfoError, match="lacks object 0 of the info of env 1"):
            assemble([0, 1, 0], objects)
    assert assemble([0, 0, 0], {}) == {}
