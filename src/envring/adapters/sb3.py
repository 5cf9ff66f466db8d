# SPDX-License-Identifier: MIT
"""Stable-Baselines3's interface of vector envs: `RingVecEnv` in the place of `SubprocVecEnv`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import Env
from gymnasium.error import NoAsyncCallError
from gymnasium.vector import AutoresetMode

from envring._foreign.envring_worker.lost import RESTARTED
from envring.adapters.listed import ListedEnvs
from envring.api.vector import RingVectorEnv
from envring.pool.ending import CLOSE_SECONDS
from envring.workers.preload import preload

try:
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "Stable-Baselines3's interface needs it: pip install 'envring[sb3]'"
    ) from error


class _Envs(ListedEnvs):
    _name = "RingVecEnv"


class RingVecEnv(VecEnv):  # type: ignore[misc]
    """A `VecEnv` whose envs run in workers that share memory with this process.

    It stands in the place of SB3's SubprocVecEnv and DummyVecEnv, and returns what they return. A
    worker holds many envs, so `num_workers` may be smaller than the number of envs.

    Args:
        env_fns: functions that build envs; `EnvSource` for other interpreters and for hosts.
        start_method: "fork", "forkserver" or "spawn". None: "forkserver", as in SubprocVecEnv.
        **ours: RingVectorEnv's arguments: num_workers, launcher, remotes, step_timeout, ...

    Attributes:
        vector_env: steps the envs. Reset and step them through this class only.
        waiting: whether a step was started and not waited for.
        closed: whether `close` was called.

    Raises:
        ValueError: there is no such start method.
        EnvFnError: the env functions return vector envs, or the same env twice.
        Exception: what RingVectorEnv raises.

    Example:
        model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 8, vec_env_cls=RingVecEnv))
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Env[Any, Any]]],
        start_method: str | None = None,
        **ours: Any,
    ) -> None:
        """Starts the workers and builds the envs in them."""
        self.waiting = self.closed = False
        if any(_is_of_sb3(fn) for fn in env_fns):
            preload("stable_baselines3.common.monitor")  # and torch, once for all workers
        self._envs = _Envs(
            env_fns,
            copy=True,
            context=start_method or "forkserver",
            autoreset_mode=AutoresetMode.SAME_STEP,
            options_per_env=True,
            **ours,
        )
        try:
            super().__init__(
                self._envs.num_envs,
                self._envs.single_observation_space,
                self._envs.single_action_space,
            )
        except BaseException:
            self._envs.close()
            raise

    @property
    def vector_env(self) -> RingVectorEnv[Any, Any]:
        """What steps the envs, for its `stats()`, `num_workers` and `processes`."""
        return self._envs

    def reset(self) -> Any:
        """Resets the envs with the seeds and options that were set for this reset.

        Infos are in `reset_infos`. A step under way is finished and forgotten.

        Returns:
            Observations: an array (num_envs, ...), or a dict or tuple of them.
        """
        self._finish_step()
        options = [each or None for each in self._options] if any(self._options) else None
        observations, infos = self._envs.reset(
            seed=self._seeds,
            options=options,  # type: ignore[arg-type]
        )
        self.reset_infos = self._list(infos)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: Any) -> None:
        """Starts a step.

        Args:
            actions: one per env, each of which receives its own as it is: rows of an array, or the
                items of a list.

        Raises:
            AlreadyPendingCallError: a step is under way.
            ActionError: there is not one action per env.
        """
        self._envs.step_async(self._envs.fitting(actions))
        self.waiting = True

    def step_wait(self) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Waits for the step. Envs that end are reset at once.

        Returns:
            Observations as `reset` gives them, rewards (num_envs,) float32, dones (num_envs,) bool,
            and infos: a list of dicts. `TimeLimit.truncated` is in each. If the env has ended,
            `terminal_observation` is its last one, the observations have the first one of the next
            episode, and `reset_infos` its info. Both infos have `worker_restarted`, True, if the
            next episode is of an env that was built anew (`on_worker_death`, `restart_every`).
        """
        observations, rewards, terminations, truncations, told = self._envs.step_wait()
        self.waiting = False
        dones = terminations | truncations
        infos = self._list(told)
        for env_id in dones.nonzero()[0].tolist():
            # of a reset: what it told, and what was told before
            reset_info = self.reset_infos[env_id] = infos[env_id]
            last = reset_info.pop("final_obs")
            infos[env_id] = info = reset_info.pop("final_info")
            info["TimeLimit.truncated"] = None  # for the order of keys
            info["terminal_observation"] = last
            if RESTARTED in reset_info:
                info[RESTARTED] = True
        cut = truncations & ~terminations
        for info, truncated in zip(infos, cut.tolist(), strict=True):
            info["TimeLimit.truncated"] = truncated
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Closes the envs and ends their workers."""
        if self.closed:
            return
        self.closed = True
        if self.waiting:
            with contextlib.suppress(Exception):
                self._envs.step_wait(CLOSE_SECONDS)
        self._envs.close()

    def get_images(self) -> Sequence[Any]:
        """Frames, one per env, where the render mode is "rgb_array"."""
        if self.render_mode != "rgb_array":
            warnings.warn(
                f"The render mode is {self.render_mode}, and frames need 'rgb_array'. Make the "
                "envs with render_mode='rgb_array'.",
                stacklevel=2,
            )
            return [None] * self.num_envs
        return list(self._envs.call("render"))

    def has_attr(self, attr_name: str) -> bool:
        """Whether all envs have an attribute, which need not be one that can be sent."""
        return all(self._envs.ask(f"has:{attr_name}", None))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the envs, which is not called.

        Raises:
            AttributeError: an env does not have it.
        """
        return self._envs.ask(f"get:{attr_name}", indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of the outermost wrapper of the envs; the same value for all.

        To set it where the env has it: `env_method("set_wrapper_attr", attr_name, value)`.
        """
        self._envs.ask(f"set:{attr_name}", indices, (value,))

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method of the envs; returns a list of what it returned."""
        return self._envs.ask(f"run:{method_name}", indices, method_args, method_kwargs)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Whether the envs have a wrapper of this class, or of one that is derived from it.

        Classes are compared by their names, because those of a worker in another interpreter are
        different objects.
        """
        question = f"wrapped:{wrapper_class.__qualname__}"
        return self._envs.ask(question, indices, (wrapper_class.__module__,))

    def _list(self, infos: Any) -> list[dict[str, Any]]:
        return infos or [{} for _ in range(self.num_envs)]

    def _finish_step(self) -> None:
        if self.waiting:
            self.waiting = False
            with contextlib.suppress(NoAsyncCallError):  # Ctrl-C may have ended it
                self._envs.step_wait()


def _is_of_sb3(function: Any) -> bool:
    """Whether a function is one of `make_vec_env`, which needs SB3 in the worker."""
    return str(getattr(function, "__module__", "")).startswith("stable_baselines3.")
