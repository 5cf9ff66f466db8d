# SPDX-License-Identifier: MIT
"""RingVectorEnv: `gymnasium.vector.AsyncVectorEnv`'s contract on shared memory."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal

import numpy as np
import numpy.typing as npt
from gymnasium import Env, Space, logger
from gymnasium.core import ActType, ObsType, RenderFrame
from gymnasium.error import (
    AlreadyPendingCallError,
    ClosedEnvironmentError,
    NoAsyncCallError,
)
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from envring import _core, reset_arguments
from envring.cpus import allowed_cpus, usable_cpus
from envring.errors import ConcurrentCallError, EmptyVectorError, EnvFnError, EnvringError, format_env_ids
from envring.hosting import EnvHost, Pool
from envring.launchers.local import get_context
from envring.launchers.threads import VARIABLES
from envring.pool import InlinePool, PoolOptions, Reply, WorkerPool

from envring.spaces import check_observation_mode, resolve

SPIN = 100e-6  # seconds: about three times what waking a sleeping process takes
_MODES = {AutoresetMode.NEXT_STEP: 0, AutoresetMode.SAME_STEP: 1, AutoresetMode.DISABLED: 2}

_instances: weakref.WeakSet[RingVectorEnv[Any, Any]] = weakref.WeakSet()


class RingVectorEnv(VectorEnv[ObsType, ActType, np.ndarray], Generic[ObsType, ActType]):
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
                None: 100 µs, skipped where waits are long on average.
            pin: True pins each worker to a CPU; or the CPUs to pin them to, in turn.
            slots: how many batches of large observations can be out in place at a time before
                further ones are copied. None: as many as fit 256 MiB.
            worker_env: environment variables for the workers; None as a value removes one. BLAS
                and OpenMP are held to one thread per worker unless this says otherwise.
            final_observation: whether infos carry the names from before Gymnasium 1.0 too:
                `final_observation` and `_final_observation`.
            step_loop: "compiled", or "reference": the same in plain Python, to debug with.
            start_timeout: seconds in which all envs must be built, None for no limit.

        Raises:
            EmptyVectorError: no env_fns.
            EnvFnError: an env_fn cannot be called, or cannot be sent to a worker.
            SpaceMismatchError: the envs' spaces cannot be batched.
            WorkerDied: a worker ended while it built its envs.
            Exception: whatever an env's constructor raised.
        """
        self._state = AsyncState.DEFAULT
        self._host: EnvHost | None = None
        self._late = False  # a batch whose wait timed out is still under way
        self._lock = threading.Lock()
        self._foreign = False
        _check_env_fns(env_fns)
        _check_worker(worker)
        check_observation_mode(observation_mode)
        if step_loop not in ("compiled", "reference"):
            raise ValueError(f"step_loop must be 'compiled' or 'reference', got {step_loop!r}")
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
        self.num_workers = _choose_workers(self.num_envs, num_workers, max_concurrency)
        self.final_observation = final_observation

        pool = self._start_pool(context, spin, pin, worker_env, step_loop, start_timeout)
        try:
            name = type(self).__name__
            spaces = resolve(pool.hellos, observation_mode, name)
            self.single_observation_space = spaces.single_observation_space
            self.observation_space = spaces.observation_space
            self.single_action_space = spaces.single_action_space
            self.action_space = spaces.action_space
            self.metadata = dict(pool.hellos[0]["metadata"])
            self.metadata["autoreset_mode"] = self.autoreset_mode
            self.render_mode = pool.hellos[0]["render_mode"]
            overridden = type(self)._add_info is not VectorEnv._add_info
            self._host = EnvHost(
                pool, spaces, copy, slots, self._add_info if overridden else None
            )
        except BaseException:
            pool.close(terminate=True)
            raise
        self._wait_warning_due = 0 < self.num_workers < self.num_envs
        _instances.add(self)

    def _start_pool(
        self,
        context: str | None,
        spin: float | None,
        pin: bool | Sequence[int],
        worker_env: Mapping[str, str | None] | None,
        step_loop: str,
        start_timeout: float | None,
    ) -> Pool:
        environ: dict[str, str | None] = dict.fromkeys(VARIABLES, "1")
        environ.update(worker_env or {})
        threads = environ.get("OMP_NUM_THREADS")
        options = PoolOptions(
            context=get_context(context),
            daemon=self.daemon,
            name=f"Worker<{type(self).__name__}>",
            autoreset_mode=_MODES[self.autoreset_mode],
            environ=environ,
            blas_threads=int(threads) if threads and threads.isdecimal() else None,
            cpus=allowed_cpus() if pin is True else (list(pin) if pin else None),
            compiled=step_loop == "compiled",
            spin=SPIN if spin is None else spin,
            adaptive=spin is None,
            yield_every=4 if self.num_workers + 1 > usable_cpus() else 32,
            start_timeout=start_timeout,
        )
        if self.num_workers == 0:
            return InlinePool(self.env_fns, options)
        return WorkerPool(self.env_fns, self.num_workers, options)

    # -- properties -------------------------------------------------------------------------

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Seeds of the envs' generators, one per env."""
        return self.get_attr("np_random_seed")

    @property
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Copies of the envs' generators, one per env."""
        return self.get_attr("np_random")

    @property
    def processes(self) -> list[Any]:
        """The worker processes."""
        return [worker.process for worker in self._running().pool.workers]

    # -- reset ------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets all envs, or those in `options["reset_mask"]`.

        Args:
            seed: one seed s, which gives env i the seed s + i; or one per env; or None.
            options: passed to each env, without `reset_mask`: bool array (num_envs,), which leaves
                envs alone where it is False; they keep their observation.

        Returns:
            Observations, in batch, and infos.
        """
        self.reset_async(seed=seed, options=options)
        return self.reset_wait()

    def reset_async(
        self,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Starts a reset; `reset_wait` gives its results.

        Raises:
            ClosedEnvironmentError: after `close`.
            ValueError: wrong number of seeds, or reset_mask of a wrong shape or all False.
            TypeError: reset_mask is no bool array.
            AlreadyPendingCallError: another call is pending.
        """
        host = self._enter()
        try:
            seeds = reset_arguments.seeds(seed, self.num_envs)
            self._assert_idle("reset_async")
            mask, options = reset_arguments.split_mask(options, self.num_envs)
            self._settle(host)
            host.start_reset(seeds, options, mask)
            self._state = AsyncState.WAITING_RESET
        finally:
            self._lock.release()

    def reset_wait(self, timeout: float | None = None) -> tuple[ObsType, dict[str, Any]]:
        """Waits for a reset.

        Args:
            timeout: seconds to wait, None for as long as it takes.

        Returns:
            Observations, in batch, and infos.

        Raises:
            ClosedEnvironmentError: after `close`.
            NoAsyncCallError: there was no `reset_async`.
            multiprocessing.TimeoutError: it took too long; its results are dropped when they come.
            WorkerDied: a worker ended.
        """
        host = self._enter()
        try:
            reply = self._await(host, AsyncState.WAITING_RESET, "reset", timeout)
            infos = self._infos(host, reply)
            return host.observations(reply), infos
        finally:
            self._lock.release()

    # -- step -------------------------------------------------------------------------------

    def step(
        self, actions: ActType
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Steps every env.

        Args:
            actions: one action per env: an element of `action_space`, or a sequence of single ones.

        Returns:
            Observations, rewards (num_envs,) float64, terminations and truncations (num_envs,)
            bool, infos.
        """
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: ActType) -> None:
        """Starts a step; `step_wait` gives its results.

        Raises:
            ClosedEnvironmentError: after `close`.
            AlreadyPendingCallError: another call is pending.
            ActionError: the actions do not fit; no env was stepped.
        """
        host = self._enter()
        try:
            self._assert_idle("step_async")
            self._settle(host)
            host.start_step(actions)
            self._state = AsyncState.WAITING_STEP
        finally:
            self._lock.release()

    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Waits for a step; see `step` and `reset_wait` for returns and exceptions."""
        host = self._enter()
        try:
            reply = self._await(host, AsyncState.WAITING_STEP, "step", timeout)
            infos = self._infos(host, reply)
            rewards, terminations, truncations = host.outcomes()
            return host.observations(reply), rewards, terminations, truncations, infos
        finally:
            self._lock.release()

    # -- call and attributes ----------------------------------------------------------------

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of every env, or gets an attribute; see `call_async`."""
        self.call_async(name, *args, **kwargs)
        return self.call_wait()

    def call_async(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Starts `env.get_wrapper_attr(name)` in every env, called with the arguments if callable.

        Raises:
            ClosedEnvironmentError: after `close`.
            AlreadyPendingCallError: another call is pending.
        """
        host = self._enter()
        try:
            self._assert_idle("call_async")
            self._settle(host)
            host.start_call(name, args, kwargs)
            self._state = AsyncState.WAITING_CALL
        finally:
            self._lock.release()

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """Results of a call, one per env; see `reset_wait` for exceptions."""
        host = self._enter()
        try:
            reply = self._await(host, AsyncState.WAITING_CALL, "call", timeout)
            results = {} if reply is None else reply.results
            return tuple(results.get(env_id) for env_id in range(self.num_envs))
        finally:
            self._lock.release()

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of every env (called, if it is callable)."""
        return self.call(name)

    def set_attr(self, name: str, values: list[Any] | tuple[Any, ...] | object) -> None:
        """Sets an attribute of every env, where its wrappers find it.

        Args:
            name: the attribute.
            values: a list or tuple of one value per env, or anything else: one value for all.

        Raises:
            ClosedEnvironmentError: after `close`.
            ValueError: wrong number of values.
            AlreadyPendingCallError: another call is pending.
        """
        host = self._enter()
        try:
            if not isinstance(values, (list, tuple)):
                values = [values for _ in range(self.num_envs)]
            if len(values) != self.num_envs:
                raise ValueError(
                    "Values must be a list or tuple with length equal to the number of "
                    f"environments. Got `{len(values)}` values for {self.num_envs} environments."
                )
            self._assert_idle("set_attr")
            self._settle(host)
            host.start_set_attr(name, values)
            self._late = True  # should the wait be interrupted
            host.wait(None)
            self._late = False
            host.collect()
        finally:
            self._lock.release()

    def render(self) -> tuple[RenderFrame, ...] | None:
        """A frame, or list of frames, per env."""
        return self.call("render")

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
        deadline = None if timeout is None else _now() + timeout
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
        host.close(None if deadline is None else max(deadline - _now(), 0.0), terminate)

    def __del__(self) -> None:
        """Ends the workers if `close` was never called."""
        if not getattr(self, "closed", True) and getattr(self, "_host", None) is not None:
            if threading is not None and not self._foreign:
                self._state = AsyncState.DEFAULT
                self.close(terminate=True)

    # -- state ------------------------------------------------------------------------------

    def _enter(self) -> EnvHost:
        """Begins a call, on a vector env that is open; the lock is to be released at its end."""
        if not self._lock.acquire(False):
            raise ConcurrentCallError(
                f"Another thread is in a call of this {type(self).__name__} "
                f"({format_env_ids(range(self.num_envs))}). Let one thread use it, or guard it "
                "with a lock."
            )
        if self.closed or self._foreign:
            self._lock.release()
            return self._running()
        return self._host  # type: ignore[return-value]

    def _running(self) -> EnvHost:
        if self.closed:
            raise ClosedEnvironmentError(
                f"Trying to operate on `{type(self).__name__}`, after a call to `close()`."
            )
        if self._foreign:
            raise EnvringError(
                f"This {type(self).__name__} was made in another process; its workers answer only "
                "there. Make one of your own in this process."
            )
        assert self._host is not None
        return self._host

    def _assert_idle(self, operation: str) -> None:
        if self._state != AsyncState.DEFAULT:
            pending = str(self._state.value)
            raise AlreadyPendingCallError(
                f"Calling `{operation}` while waiting for a pending call to `{pending}` to "
                "complete.",
                pending,
            )

    def _settle(self, host: EnvHost) -> None:
        """Waits for a batch that came too late for its own call, and drops it."""
        if self._late:
            host.wait(None)
            host.discard()
            self._late = False

    def _await(
        self, host: EnvHost, state: AsyncState, name: str, timeout: float | None
    ) -> Reply | None:
        if self._state != state:
            raise NoAsyncCallError(
                f"Calling `{name}_wait` without any prior call to `{name}_async`.",
                str(state.value),
            )
        if not host.wait(timeout):
            self._state, self._late = AsyncState.DEFAULT, True
            raise multiprocessing.TimeoutError(
                f"The call to `{name}_wait` has timed out after {timeout} second(s)."
            )
        self._state = AsyncState.DEFAULT
        reply = host.collect()
        if reply is not None and self._wait_warning_due:
            self._warn_of_waiting(host)
        return reply

    def _infos(self, host: EnvHost, reply: Reply | None) -> dict[str, Any]:
        infos = host.infos(reply)
        if self.final_observation and "final_obs" in infos:
            infos["final_observation"] = infos["final_obs"].copy()
            infos["_final_observation"] = infos["_final_obs"].copy()
        return infos

    def _warn_of_waiting(self, host: EnvHost) -> None:
        if host.pool.hints & _core.HINT_MOSTLY_WAITING:
            self._wait_warning_due = False
            warnings.warn(
                f"Steps of these envs mostly wait (sleep, socket, another process) instead of "
                f"computing, and {self.num_workers} workers step {self.num_envs} envs in turn. "
                f"Let them wait at the same time: num_workers=num_envs ({self.num_envs}).",
                UserWarning,
                stacklevel=4,
            )


def _now() -> float:
    import time

    return time.monotonic()


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


def _choose_workers(num_envs: int, wanted: int | None, max_concurrency: Any) -> int:
    if max_concurrency is not None:
        if not isinstance(max_concurrency, (int, np.integer)):
            raise ValueError(
                f"`max_concurrency` must be an integer or None, got {type(max_concurrency)}."
            )
        if max_concurrency < 1:
            raise ValueError(
                f"`max_concurrency` must be a positive or None, got {max_concurrency}."
            )
    if wanted is None:
        return min(num_envs, usable_cpus() if max_concurrency is None else int(max_concurrency))
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer)) or wanted < 0:
        raise ValueError(f"num_workers must be None or an integer >= 0, got {wanted!r}.")
    if max_concurrency is not None:
        wanted = min(wanted, max_concurrency)
    return min(num_envs, int(wanted))


def _disown_after_fork() -> None:
    for envs in list(_instances):
        envs._foreign = True


os.register_at_fork(after_in_child=_disown_after_fork)
