# SPDX-License-Identifier: MIT
"""RingVectorEnv: `gymnasium.vector.AsyncVectorEnv`'s contract on shared memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal

import numpy as np
from gymnasium import Env, Space, logger
from gymnasium.core import ActType, ObsType
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from envring._foreign.envring_worker import loop
from envring.api.checks import check_env_fns, check_worker
from envring.api.collecting import Collecting
from envring.api.known_ids import KnownIds
from envring.batch.opening import open_batcher
from envring.batch.spaces import check_observation_mode
from envring.errors import EnvringError
from envring.launchers.base import Launcher
from envring.pool import ending
from envring.pool.opening import START_TIMEOUT, open_pool
from envring.pool.publishing import publish
from envring.pool.stats import Stats
from envring.pool.stats import read as read_stats
from envring.workers.limits import Limits, RestartPolicy

_MODES = {
    AutoresetMode.NEXT_STEP: loop.NEXT_STEP,
    AutoresetMode.SAME_STEP: loop.SAME_STEP,
    AutoresetMode.DISABLED: loop.DISABLED,
}


class RingVectorEnv(
    Collecting[ObsType, ActType],
    VectorEnv[ObsType, ActType, np.ndarray],  # directly: skrl looks there to know what it wraps
    Generic[ObsType, ActType],
):
    """Runs environments in worker processes that share memory with this one.

    A drop-in for `gymnasium.vector.AsyncVectorEnv`: the same parameters in the same order, the same
    results, exceptions and methods. Each worker holds many envs, a batch moves through shared
    memory and wakes each process once at most. Where AsyncVectorEnv and SyncVectorEnv differ,
    it follows SyncVectorEnv.

    The env functions may return vector envs (`gymnasium.vector.VectorEnv`) of k envs each: k
    consecutive rows of the batch, stepped in one call. Then `num_envs` is the sum of the k's.

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
        start_timeout: float | None = START_TIMEOUT,
        step_timeout: float | None = None,
        reset_timeout: float | None = None,
        call_timeout: float | None = None,
        launcher: Launcher | str | None = None,
        remotes: int | str | None = None,
        options_per_env: bool = False,
        on_unsendable: Literal["raise", "drop", "repr"] = "raise",
        batch_size: int | None = None,
        caller_steps: bool = False,
        on_worker_death: Literal["raise", "restart"] = "raise",
        max_restarts: int = 10,
        restart_window: float = 600.0,
        restart_every: Mapping[str, int] | None = None,
    ) -> None:
        """Starts workers and builds the envs in them; none is built in this process.

        Args:
            env_fns: functions that build the envs, or vector envs of this autoreset_mode. They are
                sent to other processes by cloudpickle where a start method needs that.
            shared_memory: accepted because AsyncVectorEnv has it; everything is shared memory.
            copy: True: arrays that you were given never change. Large ones are not copied for
                that: they are handed out in place, and their memory is written again only after
                you drop them. False: the same objects each time.
            context: multiprocessing's start method: "fork", "forkserver", "spawn", or None for
                its default.
            daemon: the processes' daemon flag. Daemons may not start processes by multiprocessing.
            worker: refused: envs are not driven through pipes.
            observation_mode: "same", "different" (equal shapes and dtypes), or a pair (batched
                space, single space).
            autoreset_mode: when ended envs are reset; the enum or its value.
            max_concurrency: the most envs that may run at the same time. Bounds the number of
                workers, and is that number if num_workers is not given.
            num_workers: number of worker processes, each with a contiguous slice of envs. None:
                the CPUs this process may use (affinity, cgroup quota), num_envs at most. Envs that
                sleep or wait for a socket need more. Envs of one worker share its process and are
                stepped in turn: those whose simulator exists once per process (a DLL, pybullet's
                default client, gym-retro) or that wait for each other inside step need num_envs.
                0: no processes, envs are stepped here.
            spin: seconds that a process spins (and yields) before it sleeps, 0 for not at all.
                None: twice as long as recent waits took, from 100 µs to 1 ms, and not at all
                where waits take longer.
            pin: True pins each worker to a CPU; or the CPUs to pin them to, in turn.
            slots: how many batches of large observations can be handed out in place at a time
                before further ones are copied. None: as many as fit 256 MiB. For `rollout`, one
                more than a rollout has steps.
            worker_env: environment variables for the workers; None as a value removes one. BLAS
                and OpenMP use one thread per worker unless a variable here says otherwise.
            final_observation: whether infos also have the names from before Gymnasium 1.0:
                `final_observation` and `_final_observation`.
            step_loop: "compiled", or "reference": the same in plain Python, to debug with.
            start_timeout: seconds until all envs must be built (10 minutes), None for no limit.
            step_timeout: the most seconds that a step may take, from when its results are waited
                for. Workers that take longer are killed: WorkerTimeout says where they were. None
                for no limit. Not for envs that are stepped here (num_workers=0).
            reset_timeout: the same for a reset.
            call_timeout: the same for `call`, `get_attr`, `set_attr` and `render`.
            launcher: another interpreter to run the envs in: `Prefix(path)`, `Micromamba(spec)`,
                ..., or a string such as "prefix:path/to/venv". The env_fns are then `EnvSource`s,
                each of which may name a launcher of its own. `context` and `daemon` do not apply
                to such workers.
            remotes: hosts to run the envs on, "tcp://HOST:PORT,..." (see `envring serve`), a number
                of local workers, or both: "4,tcp://HOST:PORT". Envs are spread by the numbers of
                workers and free slots. "ray://auto?n=4&cpus=8" starts hosts on a Ray cluster.
                The env_fns are then `EnvSource`s. Behind a question mark of an address:
                key=file:PATH or key=env:NAME, runtime=NAME, session=NAME (which the host keeps for
                a while if the connection is lost), heartbeat=SECONDS of silence after which the
                host is given up (10), and for tls:// ca=, cert=, certkey=, name=. Servers of
                other projects are "grpc://HOST:PORT" (dm_env_rpc) and "openenv://HOST:PORT"; then
                each env has a worker here that asks, unless num_workers says otherwise.
            options_per_env: whether a list or tuple given as `reset(options=...)` has one dict or
                None per env. False: each env gets all of it, as in AsyncVectorEnv. Not for vector
                envs.
            on_unsendable: what becomes of objects in infos that cannot be sent from another
                interpreter: "raise" an error, "drop" the item of the innermost dict that
                contains them, or send their "repr".
            batch_size: how many envs `recv` waits for; None for all. With it, envs that are slow
                do not hold up the others: see `send` and `recv`.
            caller_steps: whether the calling process steps a slice of the envs itself while it
                waits for the workers, of which there is one less by default. It helps on machines
                with few cores. These envs have no isolation: they share the process's state, an
                env that crashes ends it, and time limits do not hold for them.
            on_worker_death: "raise": WorkerDied, by this call and every later one. "restart": a
                worker that dies, or takes longer than it may, is started again, and its envs are
                built anew. The step says so by `truncations`, and by `infos["worker_restarted"]`
                (see docs/faults.md); other envs lose nothing. A lost host is a death, too.
            max_restarts: how often one worker may be started again within `restart_window`. One
                more is an error, as with "raise".
            restart_window: seconds.
            restart_every: replaces each worker between episodes, after {"episodes": N} or
                {"steps": N} of its envs together, for simulators that leak. No episode is cut
                short for it, as long as a worker has one env (see docs/faults.md).

        Raises:
            LaunchError: a launcher's interpreter could not be started, or could not build an env;
                the type says why.
            EmptyVectorError: no env_fns.
            EnvFnError: an env_fn cannot be called, or cannot be sent to a worker.
            SpaceMismatchError: the envs' spaces cannot be batched.
            WorkerDied: a worker ended while it built its envs.
            WorkerTimeout: the envs were not built within start_timeout.
            Exception: whatever an env's constructor raised.
        """
        self._guard()
        check_env_fns(env_fns)
        check_worker(worker)
        check_observation_mode(observation_mode)
        if slots is not None and slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be from 1 to {len(env_fns)}, got {batch_size}")
        restarts = RestartPolicy.read(on_worker_death, max_restarts, restart_window, restart_every)
        # CPython finds up to 30 attributes of an object quickly, and with more a step takes longer
        self._slots = slots
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
        self.final_observation = final_observation
        self.options_per_env = options_per_env
        name = self._name
        pool = open_pool(
            env_fns,
            name=f"Worker<{name}>",
            autoreset_mode=_MODES[self.autoreset_mode],
            num_workers=num_workers,
            max_concurrency=max_concurrency,
            launcher=launcher,
            context=context,
            daemon=daemon,
            spin=spin,
            pin=pin,
            worker_env=worker_env,
            step_loop=step_loop,
            start_timeout=start_timeout,
            limits=Limits(step_timeout, reset_timeout, call_timeout),
            on_unsendable=on_unsendable,
            remotes=remotes,
            prelude=KnownIds(),
            caller_steps=caller_steps,
            vectors=True,
            restarts=restarts,
        )
        self.num_envs, self._vectors = pool.num_envs, pool.vectors
        self.batch_size = self.num_envs if batch_size is None else batch_size
        try:
            self._check_sizes()
        except BaseException:
            pool.abandon()
            raise
        overridden = type(self)._add_info is not VectorEnv._add_info
        self._batcher, spaces, description = open_batcher(
            pool, observation_mode, name, copy, slots, self._add_info if overridden else None
        )
        self.num_workers = pool.num_workers
        self.single_observation_space = spaces.single_observation_space
        self.observation_space = spaces.observation_space
        self.single_action_space = spaces.single_action_space
        self.action_space = spaces.action_space
        self.metadata = dict(description["metadata"])
        self.metadata["autoreset_mode"] = self.autoreset_mode
        self.render_mode = description["render_mode"]
        self._processes = list(pool.processes)
        self._wait_warning_due = 0 < self.num_workers < len(env_fns) and self._vectors is None

    def _check_sizes(self) -> None:
        """Refuses arguments that do not suit the envs, now that their number is known."""
        if self.batch_size > self.num_envs:
            raise ValueError(f"batch_size must be from 1 to {self.num_envs}, got {self.batch_size}")
        if self._vectors is None:
            return
        if self.options_per_env:
            raise ValueError(
                "options_per_env=True gives each env options of its own, but a vector env takes "
                "the same for all of its envs. Leave it out."
            )
        if self.batch_size < self.num_envs:
            self._check_rows(self.batch_size, "batch_size")

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
        if self._batcher is not None:
            self._processes = list(self._batcher.pool.processes)
        return self._processes

    def stats(self) -> Stats:
        """What each worker has done so far, in numbers: steps, time, waits, memory.

        It reads counters that workers keep anyway, and costs a step nothing. It may be called while
        a step is pending, and by another thread.

        Returns:
            Totals. `later.since(earlier)` gives the numbers of the time between two calls.

        Raises:
            ClosedEnvironmentError: after `close`.

        Example:
            >>> import gymnasium as gym
            >>> import envring
            >>> envs = envring.RingVectorEnv([lambda: gym.make("CartPole-v1")] * 4, num_workers=2)
            >>> _ = envs.reset(seed=42)
            >>> before = envs.stats()
            >>> _ = envs.step([0, 1, 0, 1])
            >>> envs.stats().since(before).env_steps
            4
            >>> envs.close()
        """
        batcher = self._running()
        return read_stats(batcher.pool, batcher.since)

    def publish(self, label: str = "") -> None:
        """Lets `envring top` show these envs to the same user, until they are closed.

        Their workers' numbers get a name in shared memory. `ENVRING_TOP=1` in the environment does
        it for all vector envs, and for those of `envring serve`. Envs on hosts, and those that the
        calling process steps itself, are not shown.

        Args:
            label: what to call them; again, to call them something else.

        Raises:
            ClosedEnvironmentError: after `close`.
        """
        batcher = self._running()
        publish(batcher.pool, batcher.since, label)

    # -- the end ----------------------------------------------------------------------------

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and ends the workers.

        Args:
            timeout: seconds for a pending call and for the envs' `close` together, half a minute if
                it is None. Processes that take longer are ended by force; a warning names them.
            terminate: whether to end the processes at once.

        Raises:
            ConcurrentCallError: another thread is in a call.
        """
        if self._batcher is None or self._forked:
            return
        seconds = ending.CLOSE_SECONDS if timeout is None else timeout
        deadline = time.monotonic() + (0.0 if terminate else seconds)
        with self._entered() as batcher:
            if self._state != AsyncState.DEFAULT:
                logger.warn(
                    "Calling `close` while waiting for a pending call to "
                    f"`{self._state.value}` to complete."
                )
            if self._state != AsyncState.DEFAULT or self._unclaimed:
                # what fails is ended by force
                with contextlib.suppress(EnvringError):
                    if batcher.wait(deadline - time.monotonic()):
                        batcher.discard()
                self._state, self._unclaimed = AsyncState.DEFAULT, False
            if self._out:
                with contextlib.suppress(EnvringError):
                    arrivals = batcher.arrivals()
                    arrivals.wait(arrivals.num_out, max(deadline - time.monotonic(), 0.0))
                self._out = False
            self._unpin_memory()
            batcher.close(max(deadline - time.monotonic(), 0.0), terminate)
            self._batcher = None  # and with it the segment, but for arrays that are still out

    def __del__(self) -> None:
        """Ends the workers if `close` was never called."""
        batcher = getattr(self, "_batcher", None)
        if self.closed or batcher is None or self._forked:
            return
        self.closed = True
        self._unpin_memory()  # which may be unmapped from now on
        batcher.abandon()
