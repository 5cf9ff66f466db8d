# SPDX-License-Identifier: MIT
"""Rollouts: T steps of all envs, as arrays over time that nobody copied."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import numpy.typing as npt
from gymnasium.core import ActType, ObsType

from envring.api.stale import Watch, is_debugging, part
from envring.api.trees import mapped
from envring.batch.time_slots import TimeSlots
from envring.errors import EnvringError

if TYPE_CHECKING:
    from envring.api.collecting import Collecting

_BUT_FIRST, _BUT_LAST = slice(1, None), slice(None, -1)


@dataclass(frozen=True)
class FinalObservations(Generic[ObsType]):
    """The final observations of the episodes that ended in a rollout.

    Attributes:
        steps: in which step each ended: (K,) int64.
        env_ids: of which env: (K,) int64.
        observations: its last observation: (K, ...), in the space's structure.
    """

    steps: npt.NDArray[np.int64]
    env_ids: npt.NDArray[np.int64]
    observations: ObsType


class Rollout(Generic[ObsType, ActType]):
    """T steps of all envs, kept where the workers stored them.

    `reset` begins, `step` goes on. After T steps the rollout is `full`: use its arrays, and then
    step on, which begins the next one: its first observation is the last one of this. **From that
    step on the arrays are overwritten, step by step.** Those of a rollout that is not full are as
    large; of these only the first `at` rows are of this rollout. With ENVRING_DEBUG=1 in the
    environment, rows that are used too late or too early raise `StaleViewError`.

    Attributes:
        num_steps: T.
        at: steps so far.
        observations: what each action was chosen for: (T, num_envs, ...), in the space's structure.
        actions: (T, num_envs, ...); a list of T batches where an action has several parts. Copies.
        rewards: (T, num_envs) float64.
        terminations: (T, num_envs) bool.
        truncations: (T, num_envs) bool.
        valid: (T, num_envs) bool: False where a step did nothing but reset an env whose episode
            had ended (autoreset mode NextStep), as its action was ignored, and for all envs in the
            step after one that raised, as its actions met envs that had gone on: do not learn from
            these.
    """

    def __init__(self, envs: Collecting[ObsType, ActType], slots: TimeSlots) -> None:
        """`RingVectorEnv.rollout` makes rollouts."""
        self._envs = envs
        self._slots = slots
        self.num_steps = steps = slots.count - 1
        self.at = 0
        self._begun = False
        self._lost = 0  # steps since the last one that gave results
        space = envs.single_action_space
        row: tuple[int, ...] = () if space.shape is None else space.shape
        self._one_array = space.shape is not None and space.dtype is not None
        # by slot, as the others: the first one is not used
        self._taken = np.zeros((slots.count, envs.num_envs, *row), space.dtype)
        self._valid = np.ones((slots.count, envs.num_envs), bool)
        self._parts: list[Any] = [None] * steps  # actions that are not one array
        outcomes = slots.rewards, slots.terminations, slots.truncations
        self._stored = slots.observations, self._taken, *outcomes, self._valid
        self._watch = Watch(self._stored, slots.count) if is_debugging() else None
        self._ended = np.zeros(envs.num_envs, bool)
        self._finals: dict[tuple[int, int], Any] = {}  # that are not among the observations

    # -- arrays -----------------------------------------------------------------------------

    @property
    def _shown(self) -> Any:
        """What is handed out: arrays with a row for each slot, as `_stored`."""
        return self._stored if self._watch is None else self._watch.arrays

    @property
    def observations(self) -> ObsType:
        """See the class."""
        observations: ObsType = mapped(self._shown[0], lambda array: part(array, _BUT_LAST))
        return observations

    @property
    def actions(self) -> Any:
        """See the class."""
        return part(self._shown[1], _BUT_FIRST) if self._one_array else self._parts

    @property
    def rewards(self) -> npt.NDArray[np.float64]:
        """See the class."""
        rewards: npt.NDArray[np.float64] = part(self._shown[2], _BUT_FIRST)
        return rewards

    @property
    def terminations(self) -> npt.NDArray[np.bool_]:
        """See the class."""
        terminations: npt.NDArray[np.bool_] = part(self._shown[3], _BUT_FIRST)
        return terminations

    @property
    def truncations(self) -> npt.NDArray[np.bool_]:
        """See the class."""
        truncations: npt.NDArray[np.bool_] = part(self._shown[4], _BUT_FIRST)
        return truncations

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """See the class."""
        valid: npt.NDArray[np.bool_] = part(self._shown[5], _BUT_FIRST)
        return valid

    @property
    def last_observations(self) -> ObsType:
        """The observations after the last step: (num_envs, ...), to bootstrap from."""
        last: ObsType = mapped(self._shown[0], lambda array: array[self.at])
        return last

    @property
    def final_obs(self) -> FinalObservations[ObsType]:
        """The final observation of each episode that ended: to bootstrap from at a truncation.

        In the mode SameStep the next observation of such an env is that of its next episode.
        """
        ended = self._slots.terminations[1:] | self._slots.truncations[1:]
        steps, env_ids = np.nonzero(ended[: self.at])
        pairs = list(zip(steps.tolist(), env_ids.tolist(), strict=True))

        def pick(array: Any, path: tuple[Any, ...]) -> Any:
            rows = array[steps + 1, env_ids]
            for row, pair in enumerate(pairs):
                if pair in self._finals:
                    value = self._finals[pair]
                    for key in path:
                        value = value[key]
                    rows[row] = value
            return rows

        return FinalObservations(steps, env_ids, mapped(self._slots.observations, pick, path=()))

    @property
    def full(self) -> bool:
        """Whether all steps were made."""
        return self.at == self.num_steps

    # -- collecting -------------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Any = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets all envs and begins; see `RingVectorEnv.reset`. A reset_mask is refused.

        Returns:
            Observations, in place, and infos.
        """
        if isinstance(options, dict) and "reset_mask" in options:
            raise ValueError("A rollout begins with all envs: it takes no reset_mask.")
        self._begun = False
        self._begin()
        infos = self._envs._reset_into(self._slots.first, seed, options)
        self._keep(0)
        self._ended[...] = False
        self._begun, self._lost = True, 0
        return self.last_observations, infos

    def step(
        self, actions: ActType
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Steps every env; see `RingVectorEnv.step`. After the last step, begins the next rollout.

        A step that raises what an env raised, or that Ctrl-C ends, is lost, as everywhere, and its
        envs have gone on. Step on if you like: the episodes of all envs are cut where the last
        results are, by `truncations` of that row, and the next row is not `valid`.

        Returns:
            As `RingVectorEnv.step`; all arrays are views of the rollout's.

        Raises:
            EnvringError: there was no `reset` of this rollout.
            ActionError: the actions do not fit. No env was stepped, and a rollout that is full
                is as it was.
        """
        if not self._begun:
            raise EnvringError("Begin a rollout with its `reset`.")
        slots = self._slots
        at = 1 if self.full else self.at + 1
        infos = self._envs._step_into(slots.first + at, actions, self._begin_step)
        self._note(at, actions, infos)
        self.at = at
        _, _, rewards, terminations, truncations, _ = self._shown
        return self.last_observations, rewards[at], terminations[at], truncations[at], infos

    def _begin_step(self) -> None:
        """The actions fit: from now on the next slot is written, and the step may be lost."""
        if self.full:
            self._go_round()
        if self._watch is not None:
            self._watch.written(self.at + 1)
        self._lost += 1

    def _note(self, at: int, actions: Any, infos: dict[str, Any]) -> None:
        """Notes what workers do not say of the step that is stored in slot `at`."""
        slots = self._slots
        if self._one_array:
            self._taken[at] = np.reshape(actions, self._taken[at].shape)
        else:
            self._parts[at - 1] = deepcopy(actions)
        ended = slots.terminations[at] | slots.truncations[at]
        self._valid[at] = ~self._ended
        self._ended = ended & self._envs.resets_at_next_step
        for env_id in np.flatnonzero(infos.get("_final_obs", ())).tolist():
            self._finals[at - 1, env_id] = infos["final_obs"][env_id]
        if self._lost > 1:
            self._valid[at] = False
            if at > 1:
                slots.truncations[at - 1] |= ~slots.terminations[at - 1]
                self._keep(at - 1)
        self._lost = 0
        self._keep(at)

    def _keep(self, at: int) -> None:
        """What is stored in slot `at` may be handed out."""
        if self._watch is not None:
            self._watch.stored(at)

    def _go_round(self) -> None:
        """The last observations become the first ones."""
        self._begin()

        def carry(array: Any) -> None:
            array[0] = array[-1]

        mapped(self._slots.observations, carry)
        self._slots.go_round()
        self._keep(0)

    def _begin(self) -> None:
        """Another rollout begins in slot 0."""
        self.at = 0
        self._finals.clear()
        self._parts = [None] * self.num_steps
        if self._watch is not None:
            self._watch.begin()
            self._watch.written(0)
