# SPDX-License-Identifier: MIT
"""Tianshou's interface of vector envs: `TianshouVectorEnv` in the place of `SubprocVectorEnv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium import Env, spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import iterate

from envring.adapters.listed import ListedEnvs
from envring.api import reset_arguments
from envring.api.vector import RingVectorEnv

try:
    from tianshou.env import BaseVectorEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "Tianshou's interface needs it: pip install 'envring[tianshou]'"
    ) from error

Results: TypeAlias = tuple[Any, Any, Any, Any, Any]


class _Envs(ListedEnvs):
    _name = "TianshouVectorEnv"


class TianshouVectorEnv(BaseVectorEnv):  # type: ignore[misc]
    """A `BaseVectorEnv` whose envs run in workers that share memory with this process.

    It stands in the place of Tianshou's SubprocVectorEnv and DummyVectorEnv, and returns what they
    return. A worker holds many envs, so `num_workers` may be smaller than the number of envs; where
    `wait_num` or `timeout` is given, slow envs hold up those of their worker, unless there are as
    many workers as envs.

    Args:
        env_fns: functions that build envs; `EnvSource` for other interpreters and for hosts.
        wait_num: how many envs `step` waits for. None: all that were sent.
        timeout: seconds after which `step` returns those that are done, if any is.
        **ours: RingVectorEnv's arguments: num_workers, launcher, remotes, step_timeout, ...

    Attributes:
        vector_env: steps the envs. Reset and step them through this class only.
        env_num: number of envs.
        is_async: whether `step` may return before all envs that were sent are done.
        waiting_id: envs that were sent and not returned.
        ready_id: the others.
        is_closed: whether `close` was called.

    Raises:
        AssertionError: wait_num or timeout is out of range.
        TypeError: observations are tuples, which Tianshou does not support.
        EnvFnError: the env functions return vector envs, or the same env twice.
        Exception: what RingVectorEnv raises.

    Example:
        train_envs = TianshouVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 8)
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Env[Any, Any]]],
        wait_num: int | None = None,
        timeout: float | None = None,
        **ours: Any,
    ) -> None:
        """Starts the workers and builds the envs in them."""
        count = len(env_fns)
        assert wait_num is None or 1 <= wait_num <= count, f"wait_num is not in [1, {count}]"
        assert timeout is None or timeout > 0, f"timeout is {timeout}, which is not positive"
        self.is_closed = False
        self.env_num = count
        self.wait_num = wait_num or count
        self.timeout = timeout
        self.is_async = self.wait_num != count or timeout is not None
        self.waiting_id: list[int] = []
        self.ready_id = list(range(count))
        ours.setdefault("observation_mode", "different")  # Tianshou asks each env for its space
        self._envs = _Envs(
            env_fns,
            copy=True,
            autoreset_mode=AutoresetMode.DISABLED,
            batch_size=self.wait_num,
            **ours,
        )
        try:
            if isinstance(self._envs.single_observation_space, spaces.Tuple):
                raise TypeError("Tianshou takes no tuples as observations: give arrays or dicts.")
            # kept, as they are seeded and sampled here
            self._action_spaces = self._envs.space_of_each("action_space")
        except BaseException:
            self._envs.close()
            raise

    @property
    def vector_env(self) -> RingVectorEnv[Any, Any]:
        """What steps the envs, for its `stats()`, `num_workers` and `processes`."""
        return self._envs

    def reset(self, env_id: Any = None, **kwargs: Any) -> tuple[Any, Any]:
        """Resets envs.

        Args:
            env_id: an id, or several; None for all.
            **kwargs: `seed` and `options`, the same for each of these envs.

        Returns:
            Observations, a row per env in the order of env_id: an array, or an array of dicts; and
            infos, an array of dicts.

        Raises:
            AssertionError: an env is still stepping, or after `close`.
            TypeError: another keyword.
        """
        env_ids = self._ready(env_id)
        seed, options = kwargs.pop("seed", None), kwargs.pop("options", None)
        if kwargs:
            raise TypeError(f"reset takes seed and options, got {', '.join(kwargs)}.")
        if not self.is_async:
            self._envs.forget()  # what Ctrl-C has left
        if self._are_all(env_ids):
            observations, told = self._envs.reset(seed=[seed] * self.env_num, options=options)
            return self._rows(observations), _array(told or [{} for _ in env_ids])
        order = self._order(env_ids)
        observations, infos = self._envs.reset_some(env_ids, seed, options)
        return self._rows(observations)[order], _array(infos)[order]

    def step(self, action: Any, id: Any = None) -> Results:
        """Steps envs.

        Args:
            action: one per env of `id`, each of which receives its own as it is: rows of an array,
                or items of a list. None, if `is_async`: only waits for envs that are stepping.
            id: an id, or several; None for all. If `is_async`, none of them may be stepping.

        Returns:
            Observations as `reset` gives them, rewards float64, terminations and truncations bool,
            all (n,), and infos, an array of dicts in which "env_id" says whose row it is. Rows are
            in the order of `id`; if `is_async`, those of the envs that were done first. Infos have
            `worker_restarted`, True, where a worker died and was started again, as those of `reset`
            may: the env is truncated.

        Raises:
            AssertionError: an env is still stepping, there is not one action per env, or after
                `close`.
            ValueError: action is None and the envs do not step asynchronously.
            Exception: what an env raised. If `is_async`, that env is ready then, to be reset or
                stepped, and results of others are there for the next call.
        """
        self._assert_is_not_closed()
        if self.is_async:
            return self._step_async(action, id)
        if action is None:
            raise ValueError("Actions are needed: these envs do not step asynchronously.")
        env_ids = self._wrap_id(id)
        assert len(action) == len(env_ids), f"{len(action)} actions for {len(env_ids)} envs"
        if self._are_all(env_ids):
            return self._told(self._envs.step(self._envs.fitting(action)), env_ids)
        order = self._order(env_ids)
        return self._told(self._envs.step_some(action, env_ids), env_ids, order)

    def seed(self, seed: int | Sequence[int | None] | None = None) -> list[list[int | None]]:
        """Resets all envs with seeds, and seeds their action spaces.

        Args:
            seed: one seed s, which gives env i the seed s + i; or one per env; or None.

        Returns:
            A list with the seed, for each env.
        """
        env_ids = self._ready(None)
        seeds = reset_arguments.seeds(seed, self.env_num)
        for env_id, space, each in zip(env_ids, self._action_spaces, seeds, strict=True):
            space.seed(each)
            self._envs.ask("seed:action_space", env_id, (each,))
        self._envs.reset(seed=seeds)
        return [[each] for each in seeds]

    def get_env_attr(self, key: str, id: Any = None) -> list[Any]:
        """An attribute of envs, found by their outermost wrapper that has it.

        Raises:
            AttributeError: an env does not have it.
            AlreadyPendingCallError: envs are stepping, be it others.
        """
        env_ids = self._ready(id)
        if key == "action_space":
            return [self._action_spaces[env_id] for env_id in env_ids]
        if key == "observation_space":
            each = self._envs.space_of_each(key)
            return [each[env_id] for env_id in env_ids]
        return self._envs.ask(f"get:{key}", env_ids)

    def set_env_attr(self, key: str, value: Any, id: Any = None) -> None:
        """Sets an attribute of envs, where `get_env_attr` finds it; a new one in the env itself.

        Raises:
            AlreadyPendingCallError: envs are stepping, be it others.
        """
        self._envs.ask("run:set_wrapper_attr", self._ready(id), (key, value))

    def render(self, **kwargs: Any) -> list[Any]:
        """What each env renders.

        Raises:
            RuntimeError: envs are stepping.
        """
        self._assert_is_not_closed()
        if self.waiting_id:
            raise RuntimeError(f"Envs {self.waiting_id} are stepping: nothing can be rendered.")
        return self._envs.ask("run:render", None, (), kwargs)

    def close(self) -> None:
        """Closes the envs and ends their workers."""
        self.is_closed = True
        self._envs.close()

    # -- how --------------------------------------------------------------------------------

    def _step_async(self, action: Any, id: Any) -> Results:
        if action is not None:
            env_ids = self._ready(id)
            assert len(action) == len(env_ids), f"{len(action)} actions for {len(env_ids)} envs"
            self._envs.send_some(action, env_ids)
            self.waiting_id += list(env_ids)
            self.ready_id = [each for each in self.ready_id if each not in env_ids]
        assert self.waiting_id, "No env is stepping: give actions."
        try:
            results = self._envs.recv_done(min(self.wait_num, len(self.waiting_id)), self.timeout)
        except Exception:  # of envs that are done with that; the results of others are still there
            out = self._envs.out()
            self._receive([each for each in self.waiting_id if each not in out])
            raise
        came = [info["env_id"] for info in results[4]]
        self._receive(came)
        return self._told(results, came)

    def _receive(self, env_ids: list[int]) -> None:
        self.waiting_id = [each for each in self.waiting_id if each not in env_ids]
        self.ready_id += env_ids

    def _ready(self, id: Any) -> Any:
        """Ids of envs, none of which is stepping."""
        self._assert_is_not_closed()
        env_ids = self._wrap_id(id)
        if self.is_async:
            self._assert_id(env_ids)
        return env_ids

    def _are_all(self, env_ids: Any) -> bool:
        """Whether the ids are those of all envs, in order, none of which is stepping."""
        all_envs = len(env_ids) == self.env_num and not self.waiting_id
        return all_envs and all(i == env_id for i, env_id in enumerate(env_ids))

    def _order(self, env_ids: Any) -> npt.NDArray[np.intp]:
        """Where rows of these envs are, among those in ascending order of ids."""
        numbers = [range(self.env_num)[env_id] for env_id in env_ids]
        return np.searchsorted(sorted(numbers), numbers)

    def _told(self, results: Any, env_ids: Any, order: Any = slice(None)) -> Results:
        """What `step` returns of a vector env's results, whose rows are put in order."""
        observations, rewards, terminations, truncations, infos = results
        told = _array(infos or [{} for _ in env_ids])[order]
        for info, env_id in zip(told, env_ids, strict=True):
            info["env_id"] = env_id
        outcomes = rewards[order], terminations[order], truncations[order]
        return (self._rows(observations)[order], *outcomes, told)

    def _rows(self, observations: Any) -> Any:
        if isinstance(observations, np.ndarray):
            return observations
        return _array(list(iterate(self._envs.observation_space, observations)))


def _array(rows: Any) -> Any:
    """Values of envs as Tianshou batches them."""
    try:
        return np.stack(rows)
    except ValueError:  # of different shapes
        return np.array(rows, dtype=object)
