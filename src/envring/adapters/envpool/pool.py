# SPDX-License-Identifier: MIT
"""EnvPool's calls on a RingVectorEnv."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium import Env, Space, spaces
from gymnasium.error import AlreadyPendingCallError
from gymnasium.vector import VectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from envring.adapters.envpool.spec import EnvSpec
from envring.api.guard import batcher_of
from envring.api.vector import RingVectorEnv

Batch: TypeAlias = tuple[Any, Any, Any, Any, dict[str, Any]]
EnvIds: TypeAlias = npt.NDArray[np.int32]

_IDLE, _STEPPING = AsyncState.DEFAULT, AsyncState.WAITING_STEP  # members are slow to look up
_TO_BE_RESET = -1  # instead of elapsed steps: what is received next is a reset's
_NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class EnvPool:
    """Envs that are sent and received; `make` makes one.

    The step after an episode's end, and an env's very first step, reset it: their action is not
    used. Rows of a synchronous pool are in the order in which the envs were sent; those of an
    asynchronous one are of the envs that were done first.

    Args:
        envs: the envs, with autoreset in the next step; they are closed with this.
        spec: what the pool was asked for.
        seeds: of the first reset of each env.

    Attributes:
        spec: what the pool was asked for.
        num_envs: number of envs.
        all_env_ids: their ids, int32 (num_envs,).
        is_async: whether `recv` waits for fewer envs than there are.
    """

    spec: Any
    closed = False

    def __init__(self, envs: RingVectorEnv[Any, Any], spec: EnvSpec, seeds: Sequence[int]) -> None:
        """Takes the envs over."""
        self.spec = spec
        self.num_envs = envs.num_envs
        self.all_env_ids: EnvIds = np.arange(envs.num_envs, dtype=np.int32)
        self.is_async = envs.batch_size != envs.num_envs
        self._envs = envs
        self._seeds = seeds
        self._never_reset = set(range(envs.num_envs))
        self._elapsed = np.full(envs.num_envs, _TO_BE_RESET, np.int32)
        self._sent: list[EnvIds] = []  # by a synchronous pool, and not received
        space = envs.single_action_space
        self._action_space = space
        self._action_dtype = space.dtype if isinstance(space, _NUMBERS) else None

    # -- calls ------------------------------------------------------------------------------

    def send(self, action: Any, env_id: Any = None) -> None:
        """Starts a step of some envs.

        Args:
            action: one action per env, cast to the action space's dtype; or a dict with those as
                "action", and with "env_id".
            env_id: whose they are, (n,); None for all envs, in order.

        Raises:
            AlreadyPendingCallError: some of these envs were sent before and not received.
            ActionError: the actions do not fit.
            ValueError: there are no such envs, or one is named twice.
            ClosedEnvironmentError: after `close`.
        """
        actions, env_ids = self._read(action, env_id)
        if self._wait is not None:
            why = "All envs were sent before and not received. Receive them first, with `recv`; or "
            raise AlreadyPendingCallError(f"{why}`reset` all, which drops what was sent.", "send")
        if self._never_reset:
            self._send_new(actions, self._or_all(env_ids))
        elif self._are_all(env_ids):
            self._envs.step_async(actions)
        else:
            self._envs.send(actions, env_ids)
        self._note(env_ids)

    def recv(self, reset: bool = False, return_info: bool = True) -> Any:
        """Waits for `batch_size` envs; of a synchronous pool, for all that were sent.

        Args:
            reset: whether to return what `reset` does.
            return_info: without effect, as in EnvPool.

        Returns:
            What `step` returns, with a row for each env; `info["env_id"]` says whose they are.

        Raises:
            NoAsyncCallError: no env was sent.
            ValueError: fewer than `batch_size` envs were sent.
            WorkerDied: a worker ended.
            Exception: what an env raised, which then is to be sent again. If not all envs were
                sent, the next call gives the results of the others.
        """
        if self._wait is not None:
            observations, rewards, terminations, truncations, infos = self._wait()
            env_ids = infos["env_id"] = self.all_env_ids.copy()
        else:
            try:
                batch = self._envs.recv(None if self.is_async else sum(map(len, self._sent)))
            except BaseException:
                self._forget_received()
                raise
            if self._sent:
                batch = self._in_order_of_sending(batch)
            observations, rewards, terminations, truncations, infos = batch
            env_ids = infos["env_id"]
        elapsed = self._elapsed.take(env_ids)
        elapsed += 1
        self._elapsed[env_ids] = np.where(terminations | truncations, _TO_BE_RESET, elapsed)
        infos["players"] = {"env_id": env_ids}
        infos["elapsed_step"] = elapsed
        rewards = rewards.astype(np.float32)
        return self._told((observations, rewards, terminations, truncations, infos), reset)

    def step(self, action: Any, env_id: Any = None) -> Any:
        """`send`, then `recv`, which after Ctrl-C may be called again."""
        self.send(action, env_id)
        return self.recv()

    def async_reset(self) -> None:
        """Starts a reset of all envs. Results that were not received are dropped."""
        self._drop()
        self._reset(None)

    def reset(self, env_id: Any = None) -> Any:
        """Resets envs, then receives.

        Args:
            env_id: which envs; None for all: results that were not received are dropped then.

        Raises:
            AlreadyPendingCallError: some of these envs were sent before and not received.
        """
        if env_id is None:
            self.async_reset()
        else:
            self._reset(_env_ids(env_id))
        return self.recv(reset=True)

    def render(self, env_ids: Any = None, camera_id: int | None = None) -> Any:
        """Frames of some envs, of env `render_env_id` if none is named.

        Returns:
            uint8 (n, height, width, 3); None if the envs do not return any.

        Raises:
            RuntimeError: `render_mode` was not given to `make`.
            ValueError: a camera was named: it is an argument of the env.
        """
        if self._envs.render_mode is None:
            raise RuntimeError("Nothing can be rendered: give `make` a render_mode='rgb_array'.")
        if camera_id is not None:
            raise ValueError("Cameras are chosen by arguments of the env, which `make` passes on.")
        which = self.spec.config.render_env_id if env_ids is None else env_ids
        frames = self._envs.get_attr("render", _env_ids(which))
        return None if frames[0] is None else np.stack(frames)

    def seed(self, seed: int | Sequence[int] | None = None) -> None:
        """Does nothing, as in EnvPool: seeds are given to `make`."""
        warnings.warn("Seeds are given to `make`: make(..., seed=seed).", stacklevel=2)

    def xla(self) -> Any:
        """Raises NotImplementedError."""
        raise NotImplementedError(
            "xla() needs envs that compiled code can call, and these are Python envs in other "
            "processes. Call `step`, or `send` and `recv`, outside of jit; inside of it, through "
            "jax.experimental.io_callback."
        )

    def close(self, **kwargs: Any) -> None:
        """Closes the envs; see `RingVectorEnv.close_extras` for arguments."""
        self._envs.close(**kwargs)
        self.closed = True

    @property
    def config(self) -> dict[str, Any]:
        """Options by name."""
        config: dict[str, Any] = self.spec.config._asdict()
        return config

    def __len__(self) -> int:
        """Number of envs."""
        return self.num_envs

    def __repr__(self) -> str:
        """As EnvPool writes it: with all options."""
        return f"{type(self).__name__}{repr(self.spec.config).removeprefix('Config')}"

    __str__ = __repr__

    def __del__(self) -> None:
        """Leaves the end to the envs, which have one of their own."""

    # -- how --------------------------------------------------------------------------------

    def _told(self, batch: Batch, reset: bool) -> Any:
        """A batch as the interface returns it, which each of them says."""
        raise NotImplementedError

    def _read(self, action: Any, env_id: Any) -> tuple[Any, EnvIds | None]:
        if isinstance(action, dict):
            named = dict(action)
            own = self._action_space.spaces if isinstance(self._action_space, spaces.Dict) else {}
            for name in ("players", "players.env_id", "env_id"):
                given = None if name in own else named.pop(name, None)
            env_id = given if env_id is None else env_id
            action = named if own else named["action"]
        if self._action_dtype is not None:
            action = np.asarray(action, self._action_dtype)
        return action, None if env_id is None else _env_ids(env_id)

    @property
    def _wait(self) -> Callable[[], Batch] | None:
        """What gives the results of a call of all envs at once; None if there is none."""
        envs = self._envs
        if envs._state is _STEPPING:  # the one truth, also after Ctrl-C between any two lines
            return envs.step_wait
        return None if envs._state is _IDLE else self._reset_wait

    def _are_all(self, env_ids: EnvIds | None) -> bool:
        """Whether the envs are all there are, in order, and `step` has nothing against it."""
        if self.is_async or self._sent or self._wait is not None:
            return False
        return env_ids is None or np.array_equal(env_ids, self.all_env_ids)

    def _or_all(self, env_ids: EnvIds | None) -> EnvIds:
        return self.all_env_ids if env_ids is None else env_ids

    def _send_new(self, actions: Any, env_ids: EnvIds) -> None:
        """Sends envs of which some may never have been reset: these are, instead of a step."""
        new = np.isin(env_ids % self.num_envs, list(self._never_reset))
        if not new.all():
            rows = np.flatnonzero(~new)
            self._envs.send(_rows(self._action_space, actions, rows), env_ids[rows])
        if new.any():
            self._start_reset(env_ids[new])

    def _reset(self, env_ids: EnvIds | None) -> None:
        self._start_reset(self._or_all(env_ids))
        self._note(env_ids)

    def _start_reset(self, env_ids: EnvIds) -> None:
        seeds = None
        if self._never_reset:
            which = (env_ids % self.num_envs).tolist()
            seeds = [self._seeds[i] if i in self._never_reset else None for i in which]
        if self._are_all(env_ids):
            self._envs.reset_async(seed=seeds)
        else:
            self._envs.async_reset(env_ids, seed=seeds)
        self._elapsed[env_ids] = _TO_BE_RESET
        self._never_reset.difference_update((env_ids % self.num_envs).tolist())

    def _note(self, env_ids: EnvIds | None) -> None:
        """Notes in which order envs were sent."""
        if not self.is_async and self._wait is None:
            self._sent.append(self._or_all(env_ids) % self.num_envs)  # a copy

    def _reset_wait(self) -> Batch:
        observations, infos = self._envs.reset_wait()
        over = np.zeros(self.num_envs, np.bool_)
        return observations, np.zeros(self.num_envs), over, over.copy(), infos

    def _drop(self) -> None:
        """Receives all that were sent, whatever their envs raised."""
        if self._wait is not None:
            with contextlib.suppress(Exception):  # of dead workers, the next call says it again
                self._wait()
        try:
            while out := self._out():
                try:
                    self._envs.recv(1)
                except Exception:
                    if self._out() == out:
                        raise
        finally:
            self._forget_received()

    def _forget_received(self) -> None:
        left = [ids[np.isin(ids, self._out())] for ids in self._sent]
        self._sent = [ids for ids in left if len(ids)]

    def _out(self) -> list[int]:
        """The envs that were sent and not received."""
        batcher = batcher_of(self._envs)
        return [] if batcher is None else batcher.arrivals().among_out(self.all_env_ids)

    def _in_order_of_sending(self, batch: Batch) -> Batch:
        """A batch whose rows are in ascending order of env ids, in the order of sending."""
        sent = np.concatenate(self._sent)
        self._sent = []
        observations, rewards, terminations, truncations, infos = batch
        order = np.searchsorted(infos["env_id"], sent)
        if (order[1:] > order[:-1]).all():
            return batch
        return (
            _rows(self._envs.single_observation_space, observations, order),
            rewards[order],
            terminations[order],
            truncations[order],
            _info_rows(infos, order),
        )


class GymnasiumEnvPool(EnvPool, VectorEnv[Any, Any, Any], Env[Any, Any]):  # type: ignore[misc]
    """A pool as a vector env of Gymnasium; its spaces are those of one env, as EnvPool's are.

    Attributes:
        observation_space: of one env.
        action_space: of one env.
    """

    is_vector_env = True

    def __init__(self, envs: RingVectorEnv[Any, Any], spec: EnvSpec, seeds: Sequence[int]) -> None:
        """Takes the envs over."""
        super().__init__(envs, spec, seeds)
        self.metadata = dict(envs.metadata)
        self.render_mode = envs.render_mode
        self.observation_space = self.single_observation_space = spec.observation_space
        self.action_space = self.single_action_space = spec.action_space

    def reset(
        self,
        env_id: Any = None,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Resets envs, then receives; see `EnvPool.reset`.

        Args:
            env_id: which envs; None for all.
            seed: without effect, as in EnvPool: seeds are given to `make`.
            options: {"reset_mask": bool (num_envs,)} names the envs; there are no others.

        Returns:
            Observations and infos.

        Raises:
            ValueError: another option, or a mask that does not fit.
        """
        if seed is not None:
            warnings.warn("reset(seed=...) has no effect: seeds are given to `make`.", stacklevel=2)
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        if options:
            raise ValueError(f"EnvPool's reset takes no options but reset_mask, got {options}.")
        if mask is not None:
            mask = np.asarray(mask, np.bool_)
            if env_id is not None or mask.shape != (self.num_envs,) or not mask.any():
                raise ValueError(
                    f"reset_mask must have shape ({self.num_envs},), name an env, and stand alone "
                    "without env_id."
                )
            env_id = np.flatnonzero(mask)
        return super().reset(env_id)

    def _told(self, batch: Batch, reset: bool) -> Any:
        return (batch[0], batch[4]) if reset else batch


def _env_ids(given: Any) -> EnvIds:
    return np.atleast_1d(np.asarray(given, np.int32))


def _rows(space: Space[Any], batch: Any, order: npt.NDArray[np.intp]) -> Any:
    if isinstance(batch, np.ndarray):
        return batch[order]
    if isinstance(space, spaces.Dict):
        return {key: _rows(space[key], each, order) for key, each in batch.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_rows(of, each, order) for of, each in zip(space, batch, strict=True))
    return tuple(batch[i] for i in order.tolist())


def _info_rows(infos: dict[str, Any], order: npt.NDArray[np.intp]) -> dict[str, Any]:
    return {
        key: _info_rows(value, order) if isinstance(value, dict) else value[order]
        for key, value in infos.items()
    }
