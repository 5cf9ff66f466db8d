# SPDX-License-Identifier: MIT
"""Conformance: how infos are batched."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import ConformanceBase
from envring.testing.conformance_values import counting, sampling, scripted
from envring.testing.envs import INFO_STYLES
from envring.testing.spaces import example_spaces


class _Level(enum.IntEnum):
    LOW = 1


class _Mapping(dict[str, Any]):
    pass


class _Real(float):
    pass


class _Array(np.ndarray[Any, Any]):
    pass


_A = np.array
# name: infos of three environments (None: no info) at step 0, 1, ...
INFO_CASES: dict[str, list[Any]] = {
    "empty": [({}, {}, {}), ({}, {}, {})],
    "int": [({"x": 1}, {"x": 2}, {"x": 3})] * 3 + [({"x": -(2**63)}, {"x": 2**63 - 1}, {"x": 0})],
    "float": [({"x": 1.5}, {"x": float("nan")}, {"x": -0.0})] * 3,
    "bool": [({"x": True}, {"x": False}, {"x": True})] * 3,
    "some_envs": [
        ({"x": 1}, None, {"x": 3}),
        (None, {"y": 1.0}, None),
        (None, {"x": 2, "y": 2.0}, {"y": 1.0}),
    ]
    * 2,
    "keys_come_and_go": [
        ({"a": 1}, {"b": 2}, {}),
        ({"b": 1, "a": 2}, {"a": 3}, {}),
        ({}, {"b": 2}, {"c": 1}),
    ]
    * 3,
    "key_order_differs": [({"a": 1, "b": 2}, {"b": 3, "a": 4}, {"c": 0, "a": 1, "b": 2})] * 3,
    "int_then_float": [({"x": 1}, {"x": 2.7}, {"x": -2.7})] * 3,
    "float_then_int": [({"x": 1.5}, {"x": 2}, {"x": True})] * 3,
    "bool_then_int": [({"x": True}, {"x": 5}, {"x": 0})] * 2,
    "type_changes_between_steps": [
        ({"x": 1}, {"x": 1}, {"x": 1}),
        ({"x": 1.5}, {"x": 1.5}, {"x": 1.5}),
        ({"x": "s"}, {"x": "t"}, {"x": "u"}),
        ({"x": {"y": 1}}, {"x": {"y": 2}}, {}),
        ({"x": _A([1, 2])}, {"x": _A([3, 4])}, {}),
        ({"x": 1}, {"x": 1}, {"x": 1}),
    ]
    * 2,
    "numpy_scalars": [
        tuple(
            {"a": np.float32(i / 3), "b": np.uint8(i), "c": np.int64(-i), "d": np.complex64(1j * i)}
            for i in range(3)
        )
    ]
    * 3,
    "numpy_bool_is_an_object": [({"x": np.bool_(True)}, {"x": np.bool_(False)}, {"x": True})] * 3,
    "longdouble": [({"x": np.longdouble(1) / 3}, {"x": np.longdouble(2)}, {})] * 2,
    "subclasses": [
        ({"e": _Level.LOW, "f": _Real(1.5)}, {"e": _Level.LOW}, {"f": _Real(2.5), "e": 3})
    ]
    * 3,
    "int_then_subclass": [({"e": 1, "f": 1.0}, {"e": _Level.LOW, "f": _Real(2.5)}, {})] * 3,
    "strings_and_none": [({"x": "a", "n": None}, {"x": "bcd", "n": None}, {"x": "", "n": [1]})] * 3,
    "object_then_number": [({"x": "a"}, {"x": 1}, {"x": 2.5})] * 3,
    "bytes_and_sets": [({"x": b"\0a"}, {"x": frozenset({1})}, {"x": (1, 2)})] * 2,
    "arrays": [tuple({"x": np.arange(4, dtype="f4").reshape(2, 2) * i} for i in range(3))] * 3,
    "array_dtypes": [
        tuple({k: np.arange(2).astype(k) for k in ("?", "i1", "u8", "f2", "c16")} for _ in range(3))
    ]
    * 3,
    "array_kinds": [
        tuple(
            {
                "zero_d": _A(1.5 * i),
                "empty": np.zeros((0, 3)),
                "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
                "strided": np.arange(10)[::3],
                "text": _A(["ab", "c"]),
                "date": _A(["2020-01-01"], "M8[D]"),
            }
            for i in range(3)
        )
    ]
    * 3,
    "array_big_endian": [({"x": _A([1, 2], ">i4")}, {"x": _A([3, 4], ">i4")}, {})] * 3,
    "object_array": [({"x": _A([None, "a"], object)}, {"x": _A([1, 2], object)}, {})] * 2,
    "array_subclass": [({"x": np.zeros(2).view(_Array)}, {"x": np.ones(2).view(_Array)}, {})] * 2,
    "array_dtypes_differ": [({"x": _A([1, 2])}, {"x": _A([1.7, 2.7])}, {"x": _A([True, False])})]
    * 3,
    "array_then_scalar": [({"x": _A([1, 2])}, {"x": 7}, {"x": _A(3)})] * 2,
    "array_shape_changes": [
        ({"x": np.zeros(2)}, {"x": np.ones(2)}, {}),
        ({"x": np.zeros(3)}, {"x": np.ones(3)}, {}),
    ]
    * 2,
    "nested": [({"d": {"a": 1, "e": {"b": 2.5}}}, {"d": {"e": {"c": "s"}}}, {"d": {"a": 3}})] * 3,
    "nested_empty": [({"d": {}}, {"d": {"a": 1}}, {})] * 2 + [({"d": {}}, {}, {"d": {"e": {}}})],
    "nested_subclass": [({"d": _Mapping(a=1)}, {"d": {"a": 2}}, {})] * 2,
    "scalar_after_dict": [({"x": {"a": 1}}, {"x": 1}, {})] * 2,
    "deep": [({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": 1}}}}}}}}}}, {}, {})] * 2,
    "nested_final_obs": [({"d": {"final_obs": _A([1.0])}}, {"d": {"final_obs": 5}}, {})] * 3,
    "final_keys_of_the_env": [
        ({"final_obs": 1, "final_info": {"a": 1}}, {"final_obs": _A([1])}, {})
    ]
    * 3,
    "mask_like_keys": [({"x": 1, "_x": 2.5}, {"_x": 3}, {"x": 4})] * 2
    + [({"_x": 1, "x": 2}, {"x": 3, "_x": 0}, {})],
    "odd_keys": [({1: 2, (3, 4): "t", "": 5, None: 6.5, 1.5: 0}, {1: 3, "1": 4}, {True: 8})] * 3,
    "non_ascii_keys": [
        ({"gr\u00f6\u00dfe": 1, "\U0001f3c1": 2.5, "a\0b": 3}, {}, {"gr\u00f6\u00dfe": 2})
    ]
    * 3,
    "many_keys": [tuple({f"key {j}": i * j for j in range(600)} for i in range(3))] * 2,
    "new_keys_each_step": [
        tuple({f"key {step} {j}": i for j in range(9)} for i in range(3)) for step in range(40)
    ],
    "large": [tuple({"x": np.full((300, 300), i, "f8"), "s": "s" * 100_000} for i in range(3))] * 2,
}

# infos of different steps do not batch with one another: no episode may end
_UNMIXABLE = ("type_changes_between_steps", "array_shape_changes", "scalar_after_dict")


class InfoConformance(ConformanceBase):
    """Infos as `VectorEnv._add_info` makes them: values, dtypes, masks and key order."""

    def test_infos_of_changing_styles(self) -> None:
        """Random infos of each style through many episodes."""
        for style in INFO_STYLES:
            for mode in ("NextStep", "SameStep"):
                fns = sampling(example_spaces()["box_float32"], infos=style)
                with self.pair(fns, autoreset_mode=mode) as (envs, oracle):
                    self.drive(envs, oracle, 12)

    def test_add_info_of_a_subclass(self) -> None:
        """An overridden `_add_info` gets every info, in the order of the environments."""
        calls = []

        class Recording(self.subject_class()):  # type: ignore[misc]
            def _add_info(
                self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int
            ) -> dict[str, Any]:
                calls.append((env_num, dict(env_info)))
                vector_infos.setdefault("all", []).append(env_info.get("t"))
                return vector_infos

        envs = Recording(counting(3, lengths=(9,)), **self.vector_kwargs)
        try:
            assert_same_batch(envs.reset()[1], {"all": [None, None, None]})
            assert_same_batch(envs.step(np.zeros(3, int))[4], {"all": [1, 1, 1]})
        finally:
            envs.close()
        assert [number for number, _ in calls] == [0, 1, 2, 0, 1, 2]
        assert calls[3:] == [(0, {"t": 1}), (1, {"t": 1}), (2, {"t": 1})]

    def test_kept_infos_do_not_change(self) -> None:
        """Arrays of earlier infos stay as they were, and may be written."""
        with self.running(counting(2, lengths=(99,))) as envs:
            envs.reset()
            kept = []
            for number in range(1, 20):
                infos = envs.step(np.zeros(2, int))[4]
                assert_same_batch(infos["t"], np.array([number, number]))
                kept.append(infos)
                infos["_t"][:] = False
            for number, infos in enumerate(kept, 1):
                assert_same_batch(
                    infos, {"t": np.array([number, number]), "_t": np.array([False, False])}
                )


def _info_test(name: str, mode: str) -> Any:
    def test(self: InfoConformance) -> None:
        observation = np.zeros(2, np.float32)
        case = INFO_CASES[name]
        scripts: list[list[tuple[Any, Any, Any, Any, Any]]] = [[] for _ in range(3)]
        for number, infos in enumerate(case):
            for index, info in enumerate(infos):
                ended = name not in _UNMIXABLE and (number + index) % 3 == 2
                scripts[index].append(
                    (observation, 0.0, ended, False, {} if info is None else info)
                )
        resets = [(observation, {} if name in _UNMIXABLE else infos[1] or {}) for infos in case]
        with self.pair(scripted(*scripts, resets=resets), autoreset_mode=mode) as (envs, oracle):
            self.drive(envs, oracle, len(case) + 3)

    test.__name__ = f"test_infos_{name}_{mode.lower()}"
    test.__doc__ = f"The infos of case {name!r} batch as in SyncVectorEnv."
    return test


for _name in INFO_CASES:
    for _mode in ("NextStep", "SameStep"):
        _test = _info_test(_name, _mode)
        setattr(InfoConformance, _test.__name__, _test)

__all__ = ["INFO_CASES", "InfoConformance"]
