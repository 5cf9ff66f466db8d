# SPDX-License-Identifier: MIT
"""RingVectorEnv: `gymnasium.vector.AsyncVectorEnv`'s contract on shared memory."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal

import numpy as np
from gymnasium import Env, Space, logger
from gymnasium.core import ActType, ObsType
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from envring.api.calls import AsyncCalls
from envring.batch.host import EnvHost, Pool
from envring.batch.spaces import check_observation_mode, resolve, understand
from envring.errors import (
    EmptyVectorError,
    EnvFnError,
    EnvringError,
    LauncherError,
)
from envring.launchers.base import Launcher
from envring.pool.inline import InlinePool
from envring.pool.options import choose_workers, pool_options
from envring.pool.placement import choose_launchers, place
from envring.pool.worker_pool import WorkerPool

_MODES = {AutoresetMode.NEXT_STEP: 0, AutoresetMode.SAME_STEP: 1, AutoresetMode.DISABLED: 2}


class RingVectorEnv(AsyncCalls[ObsType, ActType], Generic[ObsType, ActType]):
    """Runs environments in worker processes that share memory with this one.

    A drop-in for `gymnasium.vector.AsyncVectorEnv`: the same parameters in the same order, the same
    results, exceptions and methods. Each worker holds many envs, a batch moves through shared
    memory and wakes each process once at most. Where AsyncVectorEnv and SyncVectorEnv differ,
    this follows SyncVectorEnv.

    Attributes:
        num_workers: number of worker processes; 0 if envs are stepped in this process.

    Example:
        >>> import gymnasium as gym
        >>> import envring
        >>> envs = envring.RingVectorEnv([lambda: gym.make("CartPole-v1")] * 4, num_workers=2)
        >>> observations, infos = envs.reset(seed=42)
        >>> observations.shape, observations.dtype
        ((4, 4), dtype('float32'))
        >>> observations, rewards, terminations, truncations, infos = envs.step([0, 1, 0, 1])
        >>> rewards
        array([1., 1., 1., 1.])
        >>> envs.close()
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Env[Any, Any]]],
        shared_memory: bool = True,
        copy: bool = True,
        context: str | None = None,
        daemon: bool = True,
        worker: Callable[..., None] | None = None,
        observation_mode: str | tuple[Space[Any], Space[Any]] = "same",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_concurrency: int | None = None,
        *,
        num_workers: int | None = None,
        spin: float | None = None,
        pin: bool | Sequence[int] = False,
        slots: int | None = None,
        worker_env: Mapping[str, str | None] | None = None,
        final_observation: bool = False,
        step_loop: Literal["compiled", "reference"] = "compiled",
        start_timeout: float | None = None,
        launcher: Launcher | str | None = None,
    ) -> None:
        """Starts workers and builds the envs in them; none is built in this process.

        Args:
            env_fns: functions that build the envs. They cross to other processes by cloudpickle,
                where they have to.
            shared_memory: accepted for AsyncVectorEnv's sake; everything is shared memory.
            copy: whether arrays that were handed out stay as they are. They do so without a copy:
                large ones are handed out in place, and their memory is written again only once they
                are dropped. False hands out the same objects each time.
            context: multiprocessing's start method: "fork", "forkserver", "spawn", or None for
                its default.
            daemon: the processes' daemon flag. Daemons may not start multiprocessing's processes.
            worker: refused: there is no pipe that a worker function could talk to.
            observation_mode: "same", "different" (equal shapes and dtypes), or a pair (batched
                space, single space).
            autoreset_mode: when ended envs are reset; the enum or its value.
            max_concurrency: the most envs that may run at the same time. Bounds the number of
                workers, and is that number if num_workers is not given.
            num_workers: number of worker processes, each with a contiguous slice of envs. None:
                the CPUs this process may use (affinity, cgroup quota), num_envs at most. Envs that
                sleep or wait for a socket want more. 0: no processes, envs are stepped here.
            spin: seconds that a process spins (and yields) before it sleeps, 0 for not at all.
                None: twice as long as waits took of late, from 100 µs to 1 ms, and not at all
                where that does not suffice.
            pin: True pins each worker to a CPU; or the CPUs to pin them to, in turn.
            slots: how many batches of large observations can be out in place at a time before
                further ones are copied. None: as many as fit 256 MiB.
            worker_env: environment variables for the workers; None as a value removes one. BLAS
                and OpenMP are held to one thread per worker unless this says otherwise.
            final_observation: whether infos carry the names from before Gymnasium 1.0 too:
                `final_observation` and `_final_observation`.
            step_loop: "compiled", or "reference": the same in plain Python, to debug with.
            start_timeout: seconds in which all envs must be built, None for no limit.
            launcher: another interpreter to run the envs in: `Prefix(path)`, `Micromamba(spec)`,
                ..., or a string such as "prefix:path/to/venv". The env_fns are then `EnvSource`s,
                each of which may name a launcher of its own. `context` and `daemon` say nothing
                about such workers.

        Raises:
            LaunchError: a launcher's interpreter could not be started, or could not build an env;
                the type says why.
            EmptyVectorError: no env_fns.
            EnvFnError: an env_fn cannot be called, or cannot be sent to a worker.
            SpaceMismatchError: the envs' spaces cannot be batched.
            WorkerDied: a worker ended while it built its envs.
            Exception: whatever an env's constructor raised.
        """
        self._guard()
        _check_env_fns(env_fns)
        _check_worker(worker)
        check_observation_mode(observation_mode)
        if slots is not None and slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.env_fns = env_fns
        self.shared_memory = shared_memory
        self.copy = copy
        self.context = context
        self.daemon = daemon
        self.worker = worker
        self.observation_mode = observation_mode
        self.autoreset_mode = (
            autoreset_mode
            if isinstance(autoreset_mode, AutoresetMode)
            else AutoresetMode(autoreset_mode)
        )
        self.max_concurrency = max_concurrency
        self.num_envs = len(env_fns)
        launchers = choose_launchers(env_fns, launcher)
        self.num_workers = choose_workers(self.num_envs, num_workers, max_concurrency)
        placements = []
        if self.num_workers:
            asked = num_workers is not None or max_concurrency is not None
            placements = place(launchers, self.num_workers, asked)
            self.num_workers = len(placements)
        elif any(launchers):
            raise LauncherError(
                "num_workers=0 steps the envs in this process, but a launcher wants them in "
                "another interpreter. Leave one of them out."
            )
        self.final_observation = final_observation

        options = pool_options(
            name=f"Worker<{type(self).__name__}>",
            num_workers=self.num_workers,
            autoreset_mode=_MODES[self.autoreset_mode],
            context=context,
            daemon=daemon,
            spin=spin,
            pin=pin,
            worker_env=worker_env,
            step_loop=step_loop,
            start_timeout=start_timeout,
        )
        pool: Pool = (
            WorkerPool(env_fns, placements, options)
            if self.num_workers
            else InlinePool(env_fns, options)
        )
        try:
            name = type(self).__name__
            hellos = understand(pool.hellos)
            spaces = resolve(hellos, observation_mode, name)
            self.single_observation_space = spaces.single_observation_space
            self.observation_space = spaces.observation_space
            self.single_action_space = spaces.single_action_space
            self.action_space = spaces.action_space
            self.metadata = dict(hellos[0]["metadata"])
            self.metadata["autoreset_mode"] = self.autoreset_mode
            self.render_mode = hellos[0]["render_mode"]
            overridden = type(self)._add_info is not VectorEnv._add_info
            self._host = EnvHost(pool, spaces, copy, slots, self._add_info if overridden else None)
        except BaseException:
            pool.close(terminate=True)
            raise
        self._processes = [worker.process for worker in pool.workers]
        self._wait_warning_due = 0 < self.num_workers < self.num_envs

    # -- properties -------------------------------------------------------------------------

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Seeds of the envs' generators, one per env."""
        return self.get_attr("np_random_seed")

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Copies of the envs' generators, one per env."""
        return self.get_attr("np_random")

    @property
    def processes(self) -> list[Any]:
        """The worker processes, after `close` too."""
        return self._processes

    # -- the end ----------------------------------------------------------------------------

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and ends the workers.

        Args:
            timeout: seconds for a pending call and for the envs' `close` together; processes that
                take longer are ended by force. None for as long as it takes.
            terminate: whether to end the processes at once.
        """
        host = self._host
        if host is None or self._foreign:
            return
        timeout = 0.0 if terminate else timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._state != AsyncState.DEFAULT:
            logger.warn(
                "Calling `close` while waiting for a pending call to "
                f"`{self._state.value}` to complete."
            )
        if self._state != AsyncState.DEFAULT or self._late:
            try:
                terminate = not host.wait(timeout) or terminate
                if not terminate:
                    host.discard()
            except EnvringError:
                terminate = True
            self._state, self._late = AsyncState.DEFAULT, False
        host.close(None if deadline is None else max(deadline - time.monotonic(), 0.0), terminate)
        self._host = None  # and with it the segment, but for arrays that are still out

    def __del__(self) -> None:
        """Ends the workers if `close` was never called."""
        if self.closed or getattr(self, "_host", None) is None or self._foreign:
            return
        self._state = AsyncState.DEFAULT
        self.close(terminate=True)


def _check_env_fns(env_fns: Any) -> None:
    if len(env_fns) == 0:
        raise EmptyVectorError("env_fns is empty. Give one function per env.")
    for i, fn in enumerate(env_fns):
        if not callable(fn):
            raise EnvFnError(
                f"env_fns[{i}] is {fn!r}, which cannot be called, so env {i} cannot be built. Give "
                "functions that return envs: [lambda: gym.make(...)] * n."
            )


def _check_worker(worker: Callable[..., None] | None) -> None:
    if worker is None:
        return
    try:
        inspect.signature(worker).bind(*(None,) * 8)
    except TypeError as error:
        raise ValueError(
            "A custom `worker` must accept 8 arguments. Got the signature "
            f"{inspect.signature(worker)}."
        ) from error
    raise ValueError(
        "A custom `worker` cannot run here: envs are not driven through pipes. Wrap the envs "
        "instead (gymnasium.Wrapper), or keep gymnasium.vector.AsyncVectorEnv for this one."
    )
