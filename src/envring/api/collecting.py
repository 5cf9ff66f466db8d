# SPDX-License-Identifier: MIT
"""A vector env that collects rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

from gymnasium.core import ActType, ObsType
from gymnasium.vector import AutoresetMode

from envring.api import page_locking, reset_arguments
from envring.api.parts import Splitting
from envring.api.rollout import Rollout
from envring.batch.batcher import Batcher
from envring.batch.time_slots import TimeSlots


class Collecting(Splitting[ObsType, ActType], Generic[ObsType, ActType]):
    """A vector env whose steps can be kept where they were stored."""

    _slots: int | None = None  # that the constructor was asked for
    autoreset_mode: AutoresetMode
    _unpin: Callable[[], None] | None = None

    def rollout(
        self, num_steps: int | None = None, *, pin_memory: bool = False
    ) -> Rollout[ObsType, ActType]:
        """Makes room for a rollout: T steps of all envs as arrays over time, without a copy.

        Its `reset` and `step` are used in place of this vector env's. There can be one.

        Args:
            num_steps: T. None for `slots - 1`, where `slots` was given to the constructor.
            pin_memory: whether to page-lock the memory for CUDA, so that
                `torch.from_numpy(...).to("cuda", non_blocking=True)` does not wait.

        Raises:
            ValueError: `slots` was not given to the constructor, or is too small.
            EnvringError: there is a rollout already, observations have no fixed size, or
                pin_memory=True without torch and CUDA, or CUDA refuses. Whatever is raised, another
                call may follow, without pin_memory.
            SegmentMemoryError: there is no memory for so many batches.
        """
        if self._slots is None or self._slots < 2:
            raise ValueError(
                "A rollout of T steps needs slots=T+1 when the vector env is made, and T >= 1."
            )
        steps = self._slots - 1 if num_steps is None else num_steps
        if not 1 <= steps < self._slots:
            raise ValueError(f"slots={self._slots} has room for 1 to {self._slots - 1} steps.")
        cuda = page_locking.cuda_runtime() if pin_memory else None
        with self._entered() as batcher:
            self._assert_idle("rollout")
            self._settle(batcher)
            slots = TimeSlots(batcher, steps + 1)
            try:
                if cuda is not None:
                    self._unpin = page_locking.page_lock(cuda, slots.address, slots.nbytes)
                return Rollout(self, slots)
            except BaseException:
                slots.give_back()
                raise

    @property
    def resets_at_next_step(self) -> bool:
        """Whether the step after an episode's end resets the env."""
        return self.autoreset_mode == AutoresetMode.NEXT_STEP

    def _reset_into(
        self, slot: int, seed: int | Sequence[int | None] | None, options: Any
    ) -> dict[str, Any]:
        """A reset whose observations are stored in a slot; its infos."""
        with self._entered() as batcher:
            seeds = reset_arguments.seeds(seed, self.num_envs)
            self._assert_idle("reset_async")
            per_env = self.options_per_env and isinstance(options, (list, tuple))
            _, rest = reset_arguments.split(options, self.num_envs, per_env)
            return self._run_into(
                batcher, slot, lambda: batcher.start_reset(seeds, rest, None, per_env, slot)
            )

    def _step_into(self, slot: int, actions: ActType, begin: Callable[[], None]) -> dict[str, Any]:
        """A step whose results are stored in a slot; its infos. See `start_step_into`."""
        with self._entered() as batcher:
            self._assert_idle("step_async")
            return self._run_into(
                batcher, slot, lambda: batcher.start_step_into(actions, slot, begin)
            )

    def _run_into(self, batcher: Batcher, slot: int, start: Callable[[], None]) -> dict[str, Any]:
        batcher.slots.elsewhere += 1
        reply = self._run(batcher, lambda _: start())
        infos = self._infos(batcher, reply) if batcher.has_infos else {}
        if batcher.last is not None:
            batcher.last.handed_out(slot)
        return infos

    def _unpin_memory(self) -> None:
        unpin, self._unpin = self._unpin, None
        if unpin is not None:
            unpin()
