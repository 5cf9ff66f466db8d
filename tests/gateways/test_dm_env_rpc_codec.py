# SPDX-License-Identifier: MIT
"""Bytes and spaces of dm_env_rpc: what other programs write is read, what is malformed refused."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
from gymnasium import spaces

from envring.errors import SpaceDataError, WireError
from envring.gateways.dm_env_rpc import protobuf, tensors
from envring.gateways.dm_env_rpc.callers import Caller
from envring.gateways.dm_env_rpc.spaces import Tree
from envring.gateways.dm_env_rpc.tensors import CODES, STRING, Spec, Tensor
from envring.testing import CustomSpace, assert_same_batch, example_spaces

REFUSED = {"sequence", "sequence_stacked", "graph", "one_of", "custom", "mixed"}
NUMBERS = [0, 1, 127, 128, 300, 2**31 - 1]


def there_and_back(code, values, shape):
    return tensors.loads(memoryview(tensors.dumps(code, values, shape)))


class TestTensors:
    @pytest.mark.parametrize("dtype", list(CODES), ids=str)
    def test_every_type(self, dtype):
        if dtype.kind == "f":
            values = np.array([0, -1.5, np.inf, -np.inf, np.nan, np.finfo(dtype).max], dtype)
        elif dtype.kind == "b":
            values = np.array([True, False, True])
        else:
            info = np.iinfo(dtype)
            some = [each for each in NUMBERS if each <= info.max]
            values = np.array([info.min, info.max, *some], dtype)
        read = there_and_back(CODES[dtype], values, values.shape)
        assert read.code == CODES[dtype] and read.values.dtype == dtype
        np.testing.assert_array_equal(read.values, values)
        assert read.shape == values.shape

    def test_bytes_are_those_of_protobuf(self):
        floats = tensors.dumps(1, np.array([0.5, 1, 2, 4], np.float32), (4,))
        assert floats.hex() == "0a120a100000003f0000803f00000040000080407a0104"
        assert tensors.dumps(5, np.array(1)).hex() == "2a030a0101"
        assert tensors.dumps(STRING, ["{}"]).hex() == "52040a027b7d"
        negative = tensors.dumps(4, np.array([-1, 300], np.int32), (2,))
        assert negative.hex() == "220e0a0cffffffffffffffffff01ac027a0102"

    def test_numbers_that_are_not_packed(self):
        assert tensors.loads(memoryview(bytes.fromhex("2a0408010802"))).values.tolist() == [1, 2]
        floats = tensors.loads(memoryview(bytes.fromhex("0a0a0d0000803f0d00000040")))
        assert floats.values.tolist() == [1.0, 2.0]

    def test_unknown_fields_are_skipped(self):
        strange = b"\x98\x06\x01" + b"\xa2\x06\x03abc" + b"\xad\x06abcd" + b"\xb1\x0612345678"
        assert tensors.loads(memoryview(strange + bytes.fromhex("2a030a0101"))).values == [1]

    def test_one_element_stands_for_all_and_one_dimension_may_be_free(self):
        spec = Spec("a", 5, (2, 3))
        assert Tensor(5, np.array([7]), (2, 3)).fit(spec).tolist() == [[7] * 3] * 2
        assert Tensor(5, np.arange(6), (-1, 3)).fit(spec).shape == (2, 3)
        for wrong in [
            Tensor(5, np.arange(6), (-1, -1)),
            Tensor(5, np.arange(6), (6,)),
            Tensor(5, np.arange(5), (2, 3)),
            Tensor(4, np.arange(6), (2, 3)),
            Tensor(5, np.array([7]), (1 << 40, 3)),
            Tensor(STRING, ["a"], (2, 3)),
        ]:
            with pytest.raises(WireError):
                wrong.fit(spec)

    @pytest.mark.parametrize(
        "data",
        [
            "",  # no payload
            "5a00",  # protos
            "0a",  # no length
            "0aff",  # a length that does not end
            "0a05",  # longer than the message
            "0affffffffffffffff7f",
            "0a030a0101",  # a float of one byte
            "0a020801",  # a float as a number
            "0801",  # a message as a number
            "2a040a02ff80",  # a number that does not end
            "2a0d0a0bffffffffffffffffffff01",  # a number that is too long
            "0b",  # a group
            "00",  # field 0
            "52040a02fffe",  # not UTF-8
            "2a030a01017a41" + "01" * 65,  # too many dimensions
            "2a8080c0000801" + "0801" * 70000,  # too many fields
        ],
    )
    def test_malformed_bytes_are_refused(self, data):
        with pytest.raises(WireError):
            tensors.loads(memoryview(bytes.fromhex(data)))

    def test_random_bytes_are_read_or_refused(self):
        random.seed(3)
        seeds = [tensors.dumps(code, np.arange(9), (3, 3)) for code in tensors.DTYPES]
        for _ in range(3000):
            data = bytearray(random.choice(seeds))
            for _ in range(random.randrange(1, 4)):
                data[random.randrange(len(data))] = random.randrange(256)
            with contextlib.suppress(WireError):
                tensors.loads(memoryview(bytes(data)))


class TestSpaces:
    @pytest.mark.parametrize("name", example_spaces())
    def test_each_is_carried_or_refused(self, name):
        space = example_spaces()[name]
        if name in REFUSED:
            with pytest.raises(SpaceDataError, match="cannot carry"):
                Tree("observation", space)
            return
        tree = Tree("observation", space)
        space.seed(3)
        for _ in range(5):
            value = space.sample()
            parts = [
                leaf.loads(tensors.loads(memoryview(leaf.dumps(each))))
                for leaf, each in zip(tree.leaves, tree.split(value), strict=True)
            ]
            back = tree.join(parts)
            assert space.contains(back), back
            scalar = isinstance(space, spaces.Box) and not space.shape
            assert_same_batch(back, np.asarray(value) if scalar else value)
        assert space.contains(tree.join([leaf.default for leaf in tree.leaves]))

    def test_a_value_out_of_its_bounds_is_refused(self):
        for space, wrong in [
            (spaces.Discrete(3, start=2), 5),
            (spaces.Discrete(3, start=2), 1),
            (spaces.Box(-1, 1, (), np.float32), np.float32(1.5)),
            (spaces.Box(-1, 1, (), np.float32), np.float32("nan")),
        ]:
            (leaf,) = Tree("action", space).leaves
            tensor = tensors.loads(memoryview(leaf.dumps(wrong)))
            with pytest.raises(WireError, match="out of its bounds"):
                leaf.loads(tensor)
        (leaf,) = Tree("action", spaces.Text(3)).leaves
        with pytest.raises(WireError, match="not in"):
            leaf.loads(Tensor(STRING, ["too long"], ()))

    @pytest.mark.parametrize("caller", Caller)
    def test_bounds_of_a_box_are_the_business_of_the_env(self, caller):
        """But dm_env_rpc itself has servers refuse what is out of bounds."""
        for space, wrong in [
            (spaces.Box(-1, 1, (2,), np.float32), [1.5, 0]),
            (spaces.Box(-1, 1, (2,), np.float64), [np.nan, 0]),
            (spaces.Box(0, 5, (2,), np.uint8), [200, 0]),
        ]:
            (leaf,) = Tree("action", space, caller).leaves
            tensor = tensors.loads(memoryview(leaf.dumps(np.array(wrong, space.dtype))))
            if caller is Caller.PLAIN:
                with pytest.raises(WireError, match="out of its bounds"):
                    leaf.loads(tensor)
                continue
            found = leaf.loads(tensor)
            assert found.dtype == space.dtype
            np.testing.assert_array_equal(found, np.array(wrong, space.dtype))
        (leaf,) = Tree("action", spaces.MultiBinary(2), caller).leaves
        with pytest.raises(WireError, match="out of its bounds"):
            leaf.loads(Tensor(leaf.spec.code, np.array([2, 0], np.int8), (2,)))

    @pytest.mark.parametrize("caller", Caller)
    def test_nan_where_nothing_bounds_it(self, caller):
        (leaf,) = Tree("action", spaces.Box(-np.inf, np.inf, (2,), np.float32), caller).leaves
        value = np.array([np.nan, np.inf], np.float32)
        found = leaf.loads(tensors.loads(memoryview(leaf.dumps(value))))
        np.testing.assert_array_equal(found, value)
        low, high = np.array([-np.inf, -1]), np.array([np.inf, np.inf])
        (leaf,) = Tree("action", spaces.Box(low, high, dtype=np.float64)).leaves
        assert np.isnan(leaf.loads(Tensor(2, np.array([np.nan, 0]), (2,)))[0])
        with pytest.raises(WireError, match="out of its bounds"):
            leaf.loads(Tensor(2, np.array([0, np.nan]), (2,)))

    @pytest.mark.parametrize("caller", Caller)
    @pytest.mark.parametrize(
        ("dtype", "wrong"), [("float16", 1e6), ("int16", 40000), ("uint16", 70000), ("bool", 2)]
    )
    def test_a_number_that_the_dtype_has_not_is_refused(self, caller, dtype, wrong):
        least, most = (-np.inf, np.inf) if dtype == "float16" else (0, 1)
        (leaf,) = Tree("action", spaces.Box(least, most, (2,), np.dtype(dtype).type), caller).leaves
        sent = np.array([wrong, 0], tensors.DTYPES[leaf.spec.code])
        with pytest.raises(WireError):
            leaf.loads(Tensor(leaf.spec.code, sent, (2,)))
        fine = np.array([1, 0], tensors.DTYPES[leaf.spec.code])
        assert leaf.loads(Tensor(leaf.spec.code, fine, (2,))).dtype == dtype

    def test_integers_for_remote_gyms_client(self):
        """The last test of `test_dm_env_rpc_clients.py` has its client read them."""
        for space, dtype in [
            (spaces.Box(-5, 5, (2,), np.int8), "float64"),
            (spaces.Box(0, 127, (2,), np.int8), "int64"),
            (spaces.Box(0, 126, (2,), np.int8), "int8"),
            (spaces.Box(0, 2**32 - 1, (2,), np.uint32), "int64"),
            (spaces.Box(-(2**53), 2**53, (2,), np.int64), "float64"),
            (spaces.Box(0, 255, (2, 2), np.uint8), "uint8"),
            (spaces.Box(0, 255, (), np.uint8), "int64"),
            (spaces.MultiDiscrete([3, 4], start=[1, 2]), "float64"),
            (spaces.MultiDiscrete([3]), "float64"),
            (spaces.Discrete(3, start=-1), "float64"),
            (spaces.Discrete(3), "int64"),
            (spaces.MultiBinary(3), "int8"),
        ]:
            (leaf,) = Tree("action", space, Caller.REMOTE_GYM).leaves
            assert tensors.NAMES[leaf.spec.code] == dtype, space
            assert leaf.spec.low.dtype == leaf.spec.high.dtype == dtype
            space.seed(1)
            for value in [space.sample() for _ in range(20)]:
                found = leaf.loads(tensors.loads(memoryview(leaf.dumps(value))))
                np.testing.assert_array_equal(found, value, strict=bool(space.shape))
                assert space.contains(leaf.default)
            if dtype == "float64":
                for wrong in (0.5, np.nan, np.inf, 1e300):
                    sent = np.full(space.shape, wrong)
                    with pytest.raises(WireError):
                        leaf.loads(Tensor(leaf.spec.code, sent.ravel(), space.shape))
        whole = np.iinfo(np.int64)
        for space in (
            spaces.Box(whole.min, whole.max, (2,), np.int64),
            spaces.Box(0, 2**64 - 1, (2,), np.uint64),
            spaces.Box(0, 2**63, (2,), np.uint64),
            spaces.Box(-1, 2**53 + 1, (2,), np.int64),
            spaces.Box(0, 1, (0, 3), np.float32),
            spaces.Text(3),
            spaces.Dict(a=spaces.Discrete(2)),
            spaces.Tuple([spaces.Discrete(2)]),
        ):
            with pytest.raises(SpaceDataError, match="remote-gym's client"):
                Tree("observation", space, Caller.REMOTE_GYM)

    def test_infinities_and_nan_are_observed(self):
        (leaf,) = Tree("observation", spaces.Box(-np.inf, np.inf, (3,), np.float64)).leaves
        value = np.array([np.nan, np.inf, -np.inf])
        read = tensors.loads(memoryview(leaf.dumps(value)))
        np.testing.assert_array_equal(read.values, value)

    def test_names_of_nested_tensors(self):
        space = spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple([spaces.Discrete(2)] * 2)})
        names = [leaf.spec.name for leaf in Tree("action", space).leaves]
        assert sorted(names) == ["action.a.0", "action.a.1", "action.b"]
        with pytest.raises(SpaceDataError, match="'x.y'"):
            Tree("action", spaces.Dict({"x.y": spaces.Discrete(2)}))
        with pytest.raises(SpaceDataError, match="CustomSpace"):
            Tree("action", spaces.Tuple([CustomSpace()]))

    def test_bounds_that_are_equal_travel_once(self):
        (leaf,) = Tree("observation", spaces.Box(0, 255, (84, 84, 4), np.uint8)).leaves
        assert len(leaf.spec.dumps()) < 60
        (leaf,) = Tree("action", spaces.MultiBinary(5)).leaves
        assert b"\0" * 5 in leaf.spec.dumps() and b"\1" * 5 in leaf.spec.dumps()


def test_varints_of_every_length():
    numbers = [(1 << bits) - 1 for bits in range(65)] + [1 << bits for bits in range(64)]
    values = np.array(numbers, np.uint64)
    packed = protobuf.pack_varints(values)
    assert packed == b"".join(protobuf.varint(int(value)) for value in values)
    np.testing.assert_array_equal(protobuf.varints(memoryview(packed)), values)
