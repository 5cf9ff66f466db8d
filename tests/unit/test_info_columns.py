# SPDX-License-Identifier: MIT
"""Which infos travel in columns, that those batches are copied whole, and the limits."""

from __future__ import annotations

import marshal
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from envring._foreign.envring_worker.data.infos import (
    ODD,
    InfoWriter,
    signature,
    template_signature,
)
from envring.batch import infos as infos_module
from envring.batch import templates as templates_module
from envring.errors import InfoError
from support.info_ring import Ring, assert_same, oracle


class Tagged(np.ndarray):
    pass


# --- the quick ways

FLAT = {"t": 3, "r": -0.0, "ok": True, "f": np.float32(0.1), "pos": np.arange(3.0)}


@pytest.fixture
def no_feeding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        pytest.fail("infos were fed one by one")

    monkeypatch.setattr(infos_module._PlainBatch, "_add_info", refuse)


@pytest.mark.usefixtures("no_feeding")
class TestColumns:
    """Batches that have to be copied by column, never fed one by one."""

    def learnt(self, num_envs: int, *examples: dict[str, Any], workers: int = 2) -> Ring:
        ring = Ring(num_envs, workers)
        for example in examples:
            ring.pending += ring.assembler.learn({0: example})
        ring.announce()
        return ring

    def check(self, ring: Ring, batch: list[Any], finals: Any = None) -> dict[str, Any]:
        ours = ring.step(batch, finals)
        assert ring.odd == {}
        assert_same(ours, oracle(batch))
        return ours

    def test_nothing_to_tell(self) -> None:
        ring = self.learnt(4)
        assert ring.step([{}] * 4) == {}
        assert ring.step([OrderedDict()] * 4) == {}

    def test_one_template_for_all(self) -> None:
        ring = self.learnt(4, FLAT)
        for step in range(3):
            self.check(ring, [{**FLAT, "t": env * 10 + step} for env in range(4)])

    def test_some_environments_have_nothing(self) -> None:
        ring = self.learnt(4, FLAT)
        self.check(ring, [{}, FLAT, {}, FLAT])
        self.check(ring, [FLAT, {}, {}, {}])
        self.check(ring, [FLAT] * 4)

    def test_templates_that_agree_about_their_keys(self) -> None:
        step, reset = {"a": 1.0, "s": "x", "d": {"k": 1}}, {"d": {"l": None, "k": 2}, "b": True}
        ring = self.learnt(4, step, reset)
        self.check(ring, [step, reset, {}, step])
        self.check(ring, [reset, step, step, reset])

    def test_python_and_numpy_floats_merge(self) -> None:
        ring = self.learnt(3, {"a": 1.0}, {"a": np.float64(2)}, {"a": np.array(3.0)})
        self.check(ring, [{"a": np.float64(5)}, {"a": np.array(4.0)}, {"a": -0.0}])

    def test_same_step_autoreset(self) -> None:
        obs = np.arange(2)
        final = {"final_obs": obs, "final_info": {"l": 3, "final_obs": obs}, "t": 0}
        ring = self.learnt(3, {"t": 1}, final)
        batched = self.check(ring, [{"t": 1}, final, {"t": 2}], {1: obs})
        assert batched["final_obs"][1] is obs and batched["final_obs"][0] is None
        assert 1 in ring.objects and len(ring.objects[1]) == 1  # the nested one only

    def test_a_final_obs_that_travels_itself_gets_its_own_template(self) -> None:
        ring = self.learnt(1, {"final_obs": 1}, workers=1)
        ring.pending += ring.assembler.learn({0: {"final_obs": 2}})
        ring.announce()
        self.check(ring, [{"final_obs": [3]}])
        assert ring.objects == {0: [[3]]}

    def test_empty_nested_dict_stays(self) -> None:
        ring = self.learnt(2, {"d": {}})
        assert ring.step([{"d": {}}, {}])["d"] == {}

    def test_arrays_are_fresh_and_writable(self) -> None:
        info = {**FLAT, "flags": np.array([True]), "s": "text"}
        ring = self.learnt(3, info)
        seen: list[np.ndarray] = []
        for batch in ([info] * 3, [{}, info, {}]):
            for _ in range(2):
                for array in ring.step(batch).values():
                    assert array.flags.writeable and array.flags.owndata
                    assert not np.shares_memory(array, ring.area)
                    assert not any(np.shares_memory(array, other) for other in seen)
                    seen.append(array)

    def test_bools_are_bools_whatever_the_memory_holds(self) -> None:
        example = {"b": True, "a": np.array([True, False])}
        ring = self.learnt(2, example)
        ring.write([example, example], {})
        (_, entries), *_ = ring.assembler.templates
        for entry, size in zip(entries, (2, 4), strict=True):
            ring.area[entry[2] : entry[2] + size] = 0xF0
        for batch_tids in (ring.tids, np.array([0, ring.tids[1]], np.uint16)):
            batched = ring.assembler.assemble(batch_tids, {}, {}, int)
            assert batched["b"].view(np.uint8)[-1] == 1
            assert batched["a"].view(np.uint8)[-1].tolist() == [1, 1]


class Key(str):
    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return "other"


@pytest.mark.parametrize(
    ("learnt", "then"),
    [
        ({"x": np.zeros(2)}, {"x": np.ones(2, ">f8")}),
        ({"x": np.zeros(2, "i8")}, {"x": np.ones(2, np.longlong)}),
        ({"x": np.zeros(2)}, {"x": np.ones(2, np.dtype("f8", metadata={"unit": "m"}))}),
        ({"x": np.zeros(2)}, {"x": np.ones(3)}),
        ({"x": np.zeros(2)}, {"x": np.ones(2, "f4")}),
        ({"x": np.zeros(1)}, {"x": 1.0}),
        ({"x": 1.0}, {"x": np.float64(1)}),
        ({"x": 1}, {"x": True}),
        ({"x": "s"}, {"x": 1.0}),
        ({"x": "s"}, {"x": np.ones(2)}),
        ({"x": "s"}, {"x": {}}),
        ({"x": {}}, {"x": None}),
        ({"x": 1}, {Key("x"): 1}),
        ({"x": 1}, {"y": 1}),
        ({"x": 1}, {"x": 1, "y": 1}),
        ({"x": 1, "y": 1}, {"x": 1}),
        ({"x": 1, "y": 1}, {"y": 1, "x": 1}),
    ],
    ids=lambda info: repr(info)[:40],
)
def test_a_template_takes_nothing_else(learnt: dict[str, Any], then: dict[str, Any]) -> None:
    ring = Ring(2)
    ring.step([learnt, learnt])
    for batch in ([learnt, learnt], [then, then], [learnt, {}], [{}, then]):
        batched = ring.step(batch, announce=False)
        assert list(ring.odd) == [env for env in range(2) if batch[env] is then]
        assert_same(batched, oracle(batch))


def test_a_final_obs_beside_and_one_that_travels_are_not_taken_for_each_other() -> None:
    ring = Ring(1)
    ring.pending += ring.assembler.learn({0: {"final_obs": 1}})
    ring.pending += ring.assembler.learn({0: {"final_obs": 1}})
    ring.announce()
    for value, finals in (("a", {0: "a"}), ("b", {}), ("c", {0: "c"})):
        assert ring.step([{"final_obs": value}], finals)["final_obs"][0] == value
        assert ring.objects == ({} if finals else {0: [value]})


def test_infos_of_one_batch_with_one_signature_make_one_template() -> None:
    ring = Ring(3)
    ring.step([{"final_obs": env} for env in range(3)], {0: 0, 1: 1, 2: 2})
    assert ring.assembler.templates == [(1, [("F", "final_obs")])]


def test_a_key_that_is_another_ones_mask() -> None:
    ring = Ring(3)
    for batch in (
        [{"x": 1}, {}, {"_x": np.ones(1)}],
        [{"_x": 5.0}, {"x": 1}, {"x": 2}],
        [{"d": {"x": 1}}, {"d": {"_x": True}}, {}],
    ):
        for _ in range(2):
            assert_same(ring.step(batch), oracle(batch))
        assert ring.odd == {}


def test_columns_are_shared_aligned_and_reserved() -> None:
    ring = Ring(10)
    ring.step([{"a": 1.0, "b": 2}] * 10)
    ring.step([{"b": 2, "a": 1.0}] * 10)
    ring.step([{"a": 1.0, "c": {"a": 1.0}}] * 10)
    offsets = [entry[2] for _, entries in ring.assembler.templates for entry in entries[:1]]
    assert offsets == [0, 128, 0]
    assert ring.reserved == [128 * 2, 128 * 3]
    assert [tid for tid, _ in ring.assembler.templates] == [1, 2, 3]


def test_signature_survives_the_template() -> None:
    info = {**FLAT, "n": {"s": "x", "d": {}}, "final_obs": 1}
    ring = Ring(2)
    ring.step([info, info], {0: 1, 1: 1})
    (tid, entries), *_ = marshal.loads(marshal.dumps(ring.assembler.templates, 2))
    assert (tid, template_signature(entries)) == (1, signature(info, True))


# --- limits


def deep(levels: int) -> dict[str, Any]:
    info: dict[str, Any] = {"leaf": 1}
    for _ in range(levels):
        info = {"d": info}
    return info


@pytest.mark.parametrize(
    "info",
    [
        {"x": 1, "_x": 2},
        {3: 1},
        {np.str_("x"): 1},
        {"x": np.longlong(3)},
        {"x": np.int64(3).view("m8")},  # no unit: NumPy 2.5 warns of timedelta64(3)
        {"x": np.zeros(2, ">f8")},
        {"x": np.zeros(2, np.longlong)},
        {"x": np.zeros(2).view(Tagged)},
        {"x": np.zeros(2, np.dtype("f8", metadata={"unit": "m"}))},
        {"x": np.array(["s"])},
        {"x": OrderedDict(y=1)},
        OrderedDict(y=1),
        deep(9),
        {str(index): 1 for index in range(513)},
        {"a": {str(index): 1 for index in range(512)}},
    ],
    ids=lambda info: repr(info)[:40],
)
def test_odd_infos_stay_odd(info: dict[Any, Any]) -> None:
    ring = Ring(2)
    for _ in range(2):
        assert_same(ring.step([{}, info]), oracle([{}, info]))
        assert ring.tids.tolist() == [0, ODD]
    assert signature(info) is None


@pytest.mark.parametrize("info", [deep(8), {str(index): 1 for index in range(512)}])
def test_largest_infos_get_columns(info: dict[str, Any]) -> None:
    ring = Ring(1)
    for _ in range(2):
        assert_same(ring.step([info]), oracle([info]))
    assert ring.odd == {}


def test_an_int_beyond_int64_is_odd_for_its_batch_only() -> None:
    ring = Ring(2)
    big = {"o": None, "x": 2**63}
    ring.step([{"o": None, "x": 1}] * 2)
    for batch, odd in (([1, 2], {}), ([1, 2**63], {1: big}), ([-(2**63), 2**63 - 1], {})):
        infos = [{"o": None, "x": value} for value in batch]
        if odd:
            with pytest.raises(InfoError, match="'x' of env 1"):
                ring.step(infos)
        else:
            assert_same(ring.step(infos), oracle(infos))
        assert ring.odd == odd
    assert len(ring.assembler.templates) == 1


def test_budget_of_templates() -> None:
    ring = Ring(1)
    for index in range(300):
        info = {f"k{index}": index}
        assert_same(ring.step([info]), oracle([info]))
    assert len(ring.assembler.templates) == templates_module.MAX_TEMPLATES
    assert_same(ring.step([{"k0": 7}]), oracle([{"k0": 7}]))
    assert ring.odd == {}


def test_shapes_that_never_repeat_do_not_use_up_the_budget() -> None:
    ring = Ring(1)
    for size in range(20):
        ring.step([{"path": np.zeros(size)}])
    assert len(ring.assembler.templates) == templates_module.MAX_SHAPES


@pytest.mark.parametrize("limits", [{"room": 100}, {"area": 100}])
def test_without_memory_infos_stay_odd(limits: dict[str, int]) -> None:
    ring = Ring(8, **limits)
    for _ in range(2):
        for info in ({"a": 1.0, "b": 1.0}, {"a": 1.0}):
            assert_same(ring.step([info] * 8), oracle([info] * 8))
    assert [entries for _, entries in ring.assembler.templates] == [[("f", "a", 0)]]


def test_huge_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates_module, "MAX_COLUMN_BYTES", 64)
    ring = Ring(8)
    ring.step([{"a": np.zeros(1), "b": 1.0}] * 8)
    ring.step([{"a": np.zeros(2), "b": 1.0}] * 8)
    assert len(ring.assembler.templates) == 1


def test_a_template_outside_the_area_is_refused() -> None:
    writer = InfoWriter(0, 2, np.zeros(4, np.uint16), np.zeros(64, np.uint8))
    writer.add_template((1, [("f", "a", 32)]))
    for entry in (("f", "a", 40), ("f", "a", -8), ("a", "a", 0, "<f8", (3,)), ("?", "a")):
        with pytest.raises(ValueError, match="info"):
            writer.add_template((2, [entry]))
    assert len(writer.templates) == 1


def test_a_writer_touches_its_own_slice_only() -> None:
    tids = np.full(6, 9, np.uint16)
    area = np.zeros(64, np.uint8)
    writer = InfoWriter(2, 2, tids, area)
    writer.add_template((1, [("f", "a", 0)]))
    writer.begin()
    writer.write(3, {"a": 2.5})
    assert tids.tolist() == [9, 9, 0, 1, 9, 9]
    assert area.view(np.float64).tolist() == [0, 0, 0, 2.5, 0, 0, 0, 0]
