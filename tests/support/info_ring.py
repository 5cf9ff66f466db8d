# SPDX-License-Identifier: MIT
"""Info writers and the assembler put together without processes, and what they must agree with."""

from __future__ import annotations

import itertools
import marshal
import pickle
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from envring._foreign.envring_worker.data.infos import InfoWriter
from envring.batch.infos import InfoAssembler

AREA = 1 << 20


class Ring:
    """Writers and the assembler around one piece of memory, as the pool puts them together."""

    def __init__(self, num_envs: int, num_workers: int = 1, area: int = AREA, room: int = AREA):
        self.num_envs = num_envs
        self.area = np.full(area, 0xA5, np.uint8)
        self.tids = np.full(num_envs, 0x5A5A, np.uint16)
        self.room = room
        self.reserved: list[int] = []
        self.assembler = InfoAssembler(num_envs, self.area, self.reserve)
        bounds = [num_envs * w // num_workers for w in range(num_workers + 1)]
        self.writers = [
            InfoWriter(low, high - low, self.tids, self.area)
            for low, high in itertools.pairwise(bounds)
        ]
        self.bounds = bounds
        self.objects: dict[int, Any] = {}
        self.odd: dict[int, Any] = {}
        self.pending: list[Any] = []

    def reserve(self, nbytes: int) -> bool:
        self.reserved.append(nbytes)
        return nbytes <= self.room

    def write(self, batch: list[Any], finals: dict[int, Any]) -> None:
        self.objects, self.odd = {}, {}
        for worker, writer in enumerate(self.writers):
            writer.begin()
            for env in range(self.bounds[worker], self.bounds[worker + 1]):
                writer.write(env, batch[env], has_final=env in finals)
            objects, odd = crossed((writer.objects, writer.odd))
            self.objects.update(objects)
            self.odd.update(odd)

    def announce(self) -> None:
        for template in self.pending:
            for writer in self.writers:
                writer.add_template(marshal.loads(marshal.dumps(template, 2)))
        self.pending = []

    def step(
        self,
        batch: list[Any],
        finals: dict[int, Any] | None = None,
        announce: bool = True,
        add_info: Any = None,
    ) -> dict[str, Any]:
        finals = finals or {}
        self.write(batch, finals)
        try:
            return self.assembler.assemble(
                self.tids, self.objects, self.odd, finals.__getitem__, add_info
            )
        finally:
            self.pending += self.assembler.learn(self.odd)
            if announce:
                self.announce()


def crossed(value: Any) -> Any:
    """What arrives in another process: pickling turns longlong into int64, for one."""
    return pickle.loads(pickle.dumps(value))


def oracle(batch: list[dict[Any, Any]]) -> dict[str, Any]:
    """What Gymnasium makes of the infos once they have come out of a worker's pipe."""
    envs: Any = VectorEnv()
    envs.num_envs = len(batch)
    batched: dict[str, Any] = {}
    for env, info in enumerate(crossed(batch)):
        batched = envs._add_info(batched, info, env)
    return batched


def bits(array: np.ndarray) -> bytes:
    """The bytes of an array's values, without the padding inside extended floats."""
    if array.dtype.char in "gG" and np.finfo(np.longdouble).nmant == 63:
        return (
            np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, 16)[:, :10].tobytes()
        )
    return array.tobytes()


def assert_same(ours: Any, theirs: Any, path: str = "infos") -> None:
    """Fail unless both are the same, bit for bit and type for type."""
    assert type(ours) is type(theirs), path
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        assert [type(key) for key in ours] == [type(key) for key in theirs], path
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{path}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), path
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{path}[{index}]")
    elif isinstance(theirs, (np.ndarray, np.generic)):
        assert ours.dtype == theirs.dtype and ours.dtype.type is theirs.dtype.type, path
        assert ours.shape == theirs.shape, path
        if theirs.dtype == object:
            assert_same(list(ours.flat), list(theirs.flat), path)
        else:
            assert bits(np.asarray(ours)) == bits(np.asarray(theirs)), path
    elif isinstance(theirs, (float, complex)):
        assert_same(np.asarray(ours), np.asarray(theirs), path)
    else:
        assert ours == theirs, path
