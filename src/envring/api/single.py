# SPDX-License-Identifier: MIT
"""RingEnv: one env in a worker process, as a plain gymnasium.Env."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium import Env, Space
from gymnasium.spaces import Dict, Tuple

from envring._foreign.envring_worker.loop import DISABLED
from envring.api.guard import Guarded
from envring.api.known_ids import KnownIds
from envring.batch.batcher import Batcher
from envring.batch.opening import open_batcher
from envring.errors import ActionError, EnvFnError, EnvringError
from envring.launchers.base import Launcher
from envring.pool import ending
from envring.pool.opening import START_TIMEOUT, open_pool
from envring.pool.reply import Reply
from envring.workers.limits import Limits, RestartPolicy


def _batch_of_one(space: Space[Any], action: Any) -> Any:
    """A batch of which `gymnasium.vector.utils.iterate` makes the action again."""
    try:
        if isinstance(space, Dict):
            return {key: _batch_of_one(child, action[key]) for key, child in space.items()}
        if isinstance(space, Tuple):
            return tuple(
                _batch_of_one(child, item) for child, item in zip(space, action, strict=True)
            )
    except (LookupError, TypeError, ValueError) as error:
        raise ActionError(f"{action!r:.200} is not an action of {space}: {error}") from error
    return np.asarray(action)[None] if isinstance(action, np.generic | np.ndarray) else [action]


class RingEnv(Guarded, Env[Any, Any]):
    """Runs one env in a process of its own.

    What the env returns arrives with the types it had (arrays, numbers, nested infos), except that
    rewards are floats and flags are bools.

    Example:
        >>> import envring
        >>> env = envring.make("CartPole-v1")
        >>> observation, info = env.reset(seed=42)
        >>> observation.shape
        (4,)
        >>> env.get_wrapper_attr("gravity")
        9.8
        >>> env.close()
    """

    def __init__(
        self,
        env_fn: Callable[[], Env[Any, Any]],
        *,
        context: str | None = None,
        daemon: bool = True,
        spin: float | None = None,
        worker_env: Mapping[str, str | None] | None = None,
        step_loop: Literal["compiled", "reference"] = "compiled",
        start_timeout: float | None = START_TIMEOUT,
        step_timeout: float | None = None,
        reset_timeout: float | None = None,
        call_timeout: float | None = None,
        launcher: Launcher | str | None = None,
        remotes: int | str | None = None,
        on_unsendable: Literal["raise", "drop", "repr"] = "raise",
        on_worker_death: Literal["raise", "restart"] = "raise",
        max_restarts: int = 10,
        restart_window: float = 600.0,
        restart_every: Mapping[str, int] | None = None,
    ) -> None:
        """Starts the process and builds the env in it.

        Args:
            env_fn: builds the env.
            context: multiprocessing's start method, None for its default.
            daemon: the process's daemon flag.
            spin: seconds to spin before sleeping, None for the default.
            worker_env: environment variables for the process; None as a value removes one.
            step_loop: "compiled", or "reference": the same in plain Python.
            start_timeout: seconds in which the env must be built (10 minutes), None for no limit.
            step_timeout: the most seconds that a step may take. A process that takes longer is
                killed: WorkerTimeout says where it was. None for no limit.
            reset_timeout: the same for a reset.
            call_timeout: the same for `render`, `call` and attributes.
            remotes: the host to run the env on, "tcp://HOST:PORT", or another project's server,
                "grpc://HOST:PORT"; see RingVectorEnv.
            launcher: another interpreter to run the env in; env_fn is then an `EnvSource`, which
                may name the launcher itself.
            on_unsendable: what becomes of objects in infos that cannot be sent from another
                interpreter: "raise" an error, "drop" the item of the innermost dict that
                contains them, or send their "repr".
            on_worker_death: "raise": WorkerDied, by this call and every later one. "restart": a
                process that dies, or takes longer than it may, is started again, and the env is
                built anew. The step in which it died returns the last observation, reward 0,
                truncated, and the info {"worker_restarted": True} (see docs/faults.md).
            max_restarts: how often it may be started again within `restart_window` seconds.
            restart_window: seconds.
            restart_every: replaces the process in the reset after {"episodes": N} or {"steps": N},
                for simulators that leak.

        Raises:
            EnvFnError: env_fn cannot be called, or cannot be sent to the process.
            LaunchError: the launcher's interpreter could not be started, or could not build the
                env; the type says why.
            WorkerDied: the process ended while it built the env.
            WorkerTimeout: the env was not built within start_timeout.
            Exception: whatever the env's constructor raised.
        """
        if not callable(env_fn):
            raise EnvFnError(f"env_fn is {env_fn!r}, which cannot be called. Give a function.")
        restarts = RestartPolicy.read(on_worker_death, max_restarts, restart_window, restart_every)
        self._guard()
        self._info: dict[str, Any] = {}
        name = self._name
        pool = open_pool(
            [env_fn],
            name=f"Worker<{name}>",
            autoreset_mode=DISABLED,
            num_workers=1,
            max_concurrency=None,
            launcher=launcher,
            context=context,
            daemon=daemon,
            spin=spin,
            pin=False,
            worker_env=worker_env,
            step_loop=step_loop,
            start_timeout=start_timeout,
            limits=Limits(step_timeout, reset_timeout, call_timeout),
            on_unsendable=on_unsendable,
            remotes=remotes,
            prelude=KnownIds(),
            restarts=restarts,
        )
        self._batcher, spaces, description = open_batcher(
            pool, "same", name, copy=True, slots=None, add_info=self._keep_info
        )
        self.observation_space = spaces.single_observation_space
        self.action_space = spaces.single_action_space
        self._nested = isinstance(self.action_space, Dict | Tuple)
        self.metadata = description["metadata"]
        self.render_mode = description["render_mode"]
        self.spec = description["spec"]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the env; see gymnasium.Env.reset."""
        with self._entered() as batcher:
            reply = self._run(batcher, lambda batcher: batcher.start_reset([seed], options, None))
            return batcher.single_observation(reply), self._take_info(batcher, reply)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Steps the env; see gymnasium.Env.step."""
        plain = type(action) is int and not self._nested
        batch = [action] if plain else _batch_of_one(self.action_space, action)
        batcher = self._enter()
        try:
            self._settle(batcher)
            self._unclaimed = True  # first: Ctrl-C may strike between the lines
            batcher.start_step(batch)
            done = batcher.step_is_done() or batcher.wait(None)
            self._unclaimed = not done
            results = batcher.take_single_step()
            if results is not None:
                return *results, {}
            reply = batcher.collect()
            rewards, terminations, truncations = batcher.outcomes()
            return (
                batcher.single_observation(reply),
                rewards.item(0),
                terminations.item(0),
                truncations.item(0),
                self._take_info(batcher, reply),
            )
        finally:
            self._owner = None

    def render(self) -> Any:
        """What the env renders."""
        return self._call("render")

    def close(self) -> None:
        """Closes the env and ends its process; a second call does nothing.

        After half a minute the process is ended by force, and a warning says so.

        Raises:
            ConcurrentCallError: another thread is in a call.
        """
        if self.closed or self._forked or self._batcher is None:
            return
        deadline = time.monotonic() + ending.CLOSE_SECONDS
        with self._entered() as batcher:
            if self._unclaimed:  # a step that Ctrl-C cut off
                with contextlib.suppress(EnvringError):
                    if batcher.wait(ending.CLOSE_SECONDS):
                        batcher.discard()
                self._unclaimed = False
            batcher.close(max(deadline - time.monotonic(), 0.0))
            self.closed = True  # not before: after Ctrl-C in there another close goes on
            self._batcher = None

    # -- attributes -------------------------------------------------------------------------

    def get_wrapper_attr(self, name: str) -> Any:
        """An attribute of the env, wherever its wrappers find it.

        Methods come as functions that run in the worker; other values as copies.

        Raises:
            AttributeError: there is none.
        """
        if name in self.__dict__ or hasattr(type(self), name):
            return getattr(self, name)
        if self._running().pool.foreign and self._call("is_method", name):
            return partial(self._call, name)
        return self._call("get_wrapper_attr", name)

    def has_wrapper_attr(self, name: str) -> bool:
        """Whether `get_wrapper_attr` finds it."""
        return hasattr(type(self), name) or bool(self._call("has_wrapper_attr", name))

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Sets an attribute of the env, where its wrappers find it."""
        return bool(self._call("set_wrapper_attr", name, value, force=force))

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of the env in the worker, or gets an attribute."""
        return self._call(name, *args, **kwargs)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        with self._entered() as batcher:
            reply = self._run(batcher, lambda batcher: batcher.start_call(name, args, kwargs))
            return None if reply is None else reply.results.get(0)

    @property
    def np_random(self) -> np.random.Generator:
        """A copy of the env's generator."""
        generator: np.random.Generator = self._call("np_random")
        return generator

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        self._call("set_wrapper_attr", "np_random", value)

    @property
    def np_random_seed(self) -> int:
        """Seed of the env's generator, -1 if it is unknown."""
        return int(self._call("np_random_seed"))

    @property
    def _np_random(self) -> np.random.Generator:  # type: ignore[override]
        return self.np_random

    def _keep_info(
        self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int
    ) -> dict[str, Any]:
        self._info = env_info
        return vector_infos

    def _take_info(self, batcher: Batcher, reply: Reply | None) -> dict[str, Any]:
        self._info = {}
        if batcher.pool.any_info:
            batcher.infos(reply)
        return self._info

    def __str__(self) -> str:
        """The class and the env's id."""
        return f"<{type(self).__name__}{'' if self.spec is None else f'<{self.spec.id}>'}>"

    def __del__(self) -> None:
        """Ends the process if `close` was never called."""
        if self.closed or self._forked or self._batcher is None:
            return
        self.closed = True
        self._batcher.close(terminate=True)
