# SPDX-License-Identifier: MIT
"""Vector envs under load: each observation is checked, each death is followed by a restart."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from envring import EnvSource, Prefix, RingVectorEnv
from soak import plain_load
from support.hosts import HostProcess

FILE = Path(plain_load.__file__)
RESTARTS: dict[str, Any] = {"on_worker_death": "restart", "max_restarts": 10**9}


def resident(pid: int) -> int:
    """Bytes of memory that a process has; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            found = [int(word) for word in file.read().split()]
        for task in os.listdir(f"/proc/{pid}/task"):
            if int(task) != pid:
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    found += map(int, file.read().split())
    except OSError:
        return []
    return found


class Load:
    """One vector env, and what is known of it.

    Attributes:
        name: which kind.
        env_steps: so far, each of which was checked.
        deaths: of its workers.
        envs: the vector env.
    """

    def __init__(self, name: str, envs: Any, host: HostProcess | None = None) -> None:
        """Takes the vector env, whose workers are the host's if there is one."""
        self.name, self.envs, self._host = name, envs, host
        self.env_steps = self.deaths = 0
        self._ids = np.arange(envs.num_envs)
        self._ended = np.zeros(envs.num_envs, bool)
        self._actions = np.zeros(envs.num_envs, np.int64)
        self._last = self._checked(self._reset(), self._ids)
        assert (self._last[:, 2:4] == 0).all()

    def _reset(self) -> Any:
        return self.envs.reset()[0]

    def start(self) -> None:
        """Starts a step."""
        self._actions = (self._actions + 1) % 1000
        self.envs.step_async(self._actions)

    def finish(self) -> None:
        """Finishes the step, and checks all that came.

        Raises:
            AssertionError: something is not what an env has written, for this step.
        """
        self._check(self._ids, *self.envs.step_wait())

    def _checked(self, observations: Any, ids: Any) -> Any:
        wrong = plain_load.checksums(observations) != observations[:, 7]
        assert not wrong.any(), f"{self.name}: a checksum of envs {ids[wrong]}"
        wrong = observations[:, 0] != ids
        assert not wrong.any(), f"{self.name}: another env's in {ids[wrong]}"
        return np.array(observations)

    def _check(
        self, ids: Any, obs: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any
    ) -> None:
        obs, last = self._checked(obs, ids), self._last[ids]
        told = infos.get("worker_restarted", np.zeros(len(obs), bool))
        lost = truncated & told
        assert (truncated == lost).all(), self.name
        assert (obs[lost] == last[lost]).all(), f"{self.name}: not the last observation"
        fresh = self._ended[ids]
        assert (obs[fresh, 2:4] == 0).all(), f"{self.name}: no reset"
        assert (obs[fresh, 1] != last[fresh, 1]).all(), f"{self.name}: no other episode"
        on = ~(lost | fresh)
        assert (obs[on, 1] == last[on, 1]).all(), f"{self.name}: another episode"
        assert (obs[on, 2] == last[on, 2] + 1).all(), f"{self.name}: not the next step"
        assert (obs[on, 3] == self._actions[ids][on]).all(), f"{self.name}: another action"
        assert (rewards == np.where(on, 0.5, 0.0)).all(), f"{self.name}: rewards"
        if told.any():
            self.deaths += 1
        self._last[ids], self._ended[ids] = obs, terminated | truncated
        self.env_steps += len(obs)

    def pids(self) -> list[int]:
        """Its workers."""
        if self._host is not None:
            return children(self._host.process.pid)
        return [process.pid for process in self.envs.processes]

    def kill(self, rng: random.Random) -> bool:
        """Kills one of its workers; False if there is none now."""
        pids = [pid for pid in self.pids() if resident(pid)]
        if pids:
            os.kill(rng.choice(pids), signal.SIGKILL)
        return bool(pids)

    def close(self) -> None:
        """Ends it."""
        self.envs.close()


class Sent(Load):
    """Envs that do not wait for each other."""

    def start(self) -> None:
        """Sends those that came last; all in the beginning."""
        self._actions[self._ids] = (self._actions[self._ids] + 1) % 1000
        self.envs.send(self._actions[self._ids], self._ids)

    def finish(self) -> None:
        """Receives a batch."""
        results = self.envs.recv()
        self._ids = results[4]["env_id"]
        self._check(self._ids, *results)


class Kept(Load):
    """Rollouts: what they keep is checked again when they are full."""

    def _reset(self) -> Any:
        self._rollout = self.envs.rollout()
        self._seen: list[Any] = []
        return self._rollout.reset()[0]

    def start(self) -> None:
        """Nothing: a rollout steps at once."""
        self._actions = (self._actions + 1) % 1000

    def finish(self) -> None:
        """Makes a step."""
        if self._rollout.full:
            self._seen = []
        self._seen.append((self._last.copy(), self._actions))
        self._check(self._ids, *self._rollout.step(self._actions))
        if self._rollout.full:
            observations, actions = map(np.array, zip(*self._seen, strict=True))
            assert (self._rollout.observations == observations).all(), "not what was handed out"
            assert (self._rollout.actions == actions).all(), "not what was done"
            assert (self._rollout.last_observations == self._last).all(), "not the last ones"


def loads(old: Path, boxes: bool) -> tuple[list[Load], HostProcess]:
    """One of each kind, and the host of one of them.

    Args:
        old: a prefix with an old interpreter.
        boxes: whether there are sandboxes here.
    """
    host = HostProcess(f"{FILE}:make", "--grace", "0.3", quiet=True)

    def sources(
        count: int, make: Callable[..., EnvSource] = EnvSource, first: int = 0
    ) -> list[EnvSource]:
        return [
            make(f"{FILE}:make", kwargs={"index": i, "length": 40 + i % 50})
            for i in range(first, first + count)
        ]

    def functions(count: int) -> list[Callable[[], Any]]:
        return [lambda i=i: plain_load.make(i, 40 + i % 50) for i in range(count)]

    def many() -> list[Callable[[], Any]]:
        return [
            lambda first=first: plain_load.make_many(first, 256) for first in range(0, 1024, 256)
        ]

    def vector(env_fns: Sequence[Any], num_workers: int, **given: Any) -> RingVectorEnv[Any, Any]:
        return RingVectorEnv(env_fns, num_workers=num_workers, **RESTARTS, **given)

    elsewhere = EnvSource.elsewhere
    kinds: dict[str, Callable[[], Load]] = {
        "vector envs": lambda: Load("vector envs", vector(many(), 2)),
        "host": lambda: Load("host", vector(sources(32, elsewhere), 2, remotes=host.url), host),
    }
    for context in ("fork", "forkserver", "spawn"):
        kinds[f"local, {context}"] = lambda context=context: Load(
            f"local, {context}", vector(functions(64), 2, context=context)
        )
    for name, sandbox in {"old interpreter": False, "sandbox": True}.items():
        kinds[name] = lambda name=name, sandbox=sandbox: Load(
            name, vector(sources(32), 2, launcher=Prefix(old, sandbox=sandbox))
        )
    kinds["several launchers"] = lambda: Load(
        "several launchers",
        vector(
            [
                *functions(16),
                *(replace(each, launcher=Prefix(old)) for each in sources(16, first=16)),
            ],
            2,
        ),
    )
    kinds["send and recv"] = lambda: Sent("send and recv", vector(functions(64), 4, batch_size=16))
    kinds["rollout"] = lambda: Kept("rollout", vector(functions(32), 2, slots=33))
    if not boxes:
        del kinds["sandbox"]
    made: list[Load] = []
    try:
        made += [make() for make in kinds.values()]
    except BaseException:
        for each in made:
            each.close()
        host.end()
        raise
    return made, host
