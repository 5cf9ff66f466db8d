# SPDX-License-Identifier: MIT
"""The batched environments of TorchRL, through its wrapper of Gymnasium's envs."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium

from envring.bench.peers.base import SEED, Adapter, Peer, draw_actions
from envring.bench.workloads import Workload


class TorchrlPeer:
    """A batched `EnvBase`: ended envs are reset after the step, which takes time but is not a step.

    Args:
        construct: Builds the batched environment.
        space: The action space of one env.
        num_envs: How many envs.
    """

    def __init__(
        self, construct: Callable[[], Any], space: gymnasium.Space[Any], num_envs: int
    ) -> None:
        self.num_envs = num_envs
        start = time.perf_counter()
        self.envs = construct()
        self.envs.set_seed(SEED)
        self._data = self.envs.reset()  # it puts off what other peers do in their constructors
        self.construct_seconds = time.perf_counter() - start
        self._actions = _tensors(space, num_envs, self.envs.action_spec.dtype)

    def advance(self, batches: int) -> None:
        """Step every env `batches` times and reset those that ended, as its collectors do."""
        step, data = self.envs.step_and_maybe_reset, self._data
        for action in itertools.islice(self._actions, batches):
            data["action"] = action
            _stepped, data = step(data)
        self._data = data

    def take_resets(self) -> int:
        """0: resets are calls of their own."""
        return 0

    def close(self) -> None:
        """Close the batched environment."""
        self.envs.close()


def _tensors(space: gymnasium.Space[Any], num_envs: int, dtype: Any) -> Iterator[Any]:
    """The same actions as every peer's, as tensors: one-hot where `space` is discrete."""
    import torch

    batches = [torch.as_tensor(batch) for batch in draw_actions(space, num_envs)]
    if isinstance(space, gymnasium.spaces.Discrete):
        batches = [
            torch.nn.functional.one_hot(batch - int(space.start), int(space.n)) for batch in batches
        ]
    elif not isinstance(space, gymnasium.spaces.Box):
        raise TypeError(f"TorchRL is measured with Discrete and Box actions, not with {space}")
    return itertools.cycle([batch.to(dtype) for batch in batches])


def _build(
    kind: Callable[..., Any], workload: Workload, num_envs: int, options: Mapping[str, Any]
) -> Peer:
    probe = workload.make()
    space = probe.action_space
    probe.close()
    create = functools.partial(_create, workload.make)
    return TorchrlPeer(lambda: kind(num_envs, create, **options), space, num_envs)


def _create(make: Callable[[], Any]) -> Any:
    from torchrl.envs import GymWrapper

    return GymWrapper(make())


def build_serial(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`SerialEnv`: every env in this process."""
    from torchrl.envs import SerialEnv

    return _build(SerialEnv, workload, num_envs, options)


def build_parallel(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`ParallelEnv`: a process for each env."""
    from torchrl.envs import ParallelEnv

    return _build(ParallelEnv, workload, num_envs, options)


def _refuses(workload: Workload, num_envs: int) -> str | None:
    return "GymWrapper reads no infos by default" if workload.name == "info5" else None


ADAPTERS = (
    Adapter(
        name="torchrl-serial",
        title="TorchRL SerialEnv",
        where="process",
        package="torchrl",
        module="torchrl.envs",
        requirement="torchrl",
        build=build_serial,
        refuses=_refuses,
    ),
    Adapter(
        name="torchrl",
        title="TorchRL ParallelEnv",
        where="workers",
        package="torchrl",
        module="torchrl.envs",
        requirement="torchrl",
        # Its default imports torch again in each process: minutes, for the same steps.
        preset={"mp_start_method": "fork"},
        note="started by fork, not by its default spawn",
        build=build_parallel,
        refuses=_refuses,
    ),
)
