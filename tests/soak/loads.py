# SPDX-License-Identifier: MIT
"""Vector envs under load: each observation is checked, each death is followed by a restart.

Where a vector env cannot restart workers yet, it is closed and made again.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envring import EnvSource, Prefix, RingVectorEnv, WorkerDied
from soak import plain_load
from support.hosts import HostProcess

FILE = Path(plain_load.__file__)
# kinds whose workers are started again
RESTARTED = {"local, fork", "local, forkserver", "old interpreter"}
ENDLESS = 10**9  # restarts


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

    def __init__(self, name: str, make: Callable[..., Any], host: HostProcess | None) -> None:
        """Makes the vector env, by `make`."""
        self.name, self._host = name, host
        self.env_steps = self.deaths = 0
        self._settings: dict[str, Any] = {}
        if name in RESTARTED:
            self._settings = {"on_worker_death": "restart", "max_restarts": ENDLESS}
        self._make = make
        self._begin()

    def _begin(self) -> None:
        self.envs = self._make(**self._settings)
        self._last = self._checked(self.envs.reset()[0])
        assert (self._last[:, 2:4] == 0).all()
        self._ended = np.zeros(self.envs.num_envs, bool)
        self._sent = 0

    def start(self) -> None:
        """Starts a step."""
        self._sent = (self._sent + 1) % 1000
        try:
            self.envs.step_async(np.full(self.envs.num_envs, self._sent))
        except WorkerDied:
            self._die()
            self.start()

    def finish(self) -> None:
        """Finishes the step, and checks all that came.

        Raises:
            AssertionError: something is not what an env has written, for this step.
        """
        try:
            results = self.envs.step_wait()
        except WorkerDied:
            self._die()
            return
        self._check(*results)

    def _die(self) -> None:
        assert self.name not in RESTARTED
        self.deaths += 1
        self.envs.close()
        self._begin()

    def _checked(self, observations: Any) -> Any:
        wrong = plain_load.checksums(observations) != observations[:, 7]
        assert not wrong.any(), f"{self.name}: a checksum of envs {np.flatnonzero(wrong)}"
        wrong = observations[:, 0] != np.arange(len(observations))
        assert not wrong.any(), f"{self.name}: another env's in {np.flatnonzero(wrong)}"
        return np.array(observations)

    def _check(self, obs: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any) -> None:
        obs, last = self._checked(obs), self._last
        told = infos.get("worker_restarted", np.zeros(len(obs), bool))
        lost = truncated & told
        assert (truncated == lost).all(), self.name
        assert (obs[lost] == last[lost]).all(), f"{self.name}: not the last observation"
        fresh = self._ended
        assert (obs[fresh, 2:4] == 0).all(), f"{self.name}: no reset"
        assert (obs[fresh, 1] != last[fresh, 1]).all(), f"{self.name}: no other episode"
        on = ~(lost | fresh)
        assert (obs[on, 1] == last[on, 1]).all(), f"{self.name}: another episode"
        assert (obs[on, 2] == last[on, 2] + 1).all(), f"{self.name}: not the next step"
        assert (obs[on, 3] == self._sent).all(), f"{self.name}: another action"
        assert (rewards == np.where(on, 0.5, 0.0)).all(), f"{self.name}: rewards"
        if told.any():
            self.deaths += 1
        self._last, self._ended = obs, terminated | truncated
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


def loads(old: Path, boxes: bool) -> tuple[list[Load], HostProcess]:
    """One of each kind, and the host of one of them.

    Args:
        old: a prefix with an old interpreter.
        boxes: whether there are sandboxes here.
    """
    host = HostProcess(f"{FILE}:make", "--grace", "0.3", quiet=True)

    def sources(count: int, make: Callable[..., EnvSource]) -> Sequence[EnvSource]:
        return [
            make(f"{FILE}:make", kwargs={"index": i, "length": 40 + i % 50}) for i in range(count)
        ]

    def local(context: str, count: int) -> Callable[..., Any]:
        fns = [lambda i=i: plain_load.make(i, 40 + i % 50) for i in range(count)]
        return lambda **given: RingVectorEnv(fns, num_workers=4, context=context, **given)

    def many() -> Any:
        fns = [
            lambda first=first: plain_load.make_many(first, 256) for first in range(0, 1024, 256)
        ]
        return RingVectorEnv(fns, num_workers=2)

    def prefix(count: int, sandbox: bool) -> Callable[..., Any]:
        launcher = Prefix(old, sandbox=sandbox)
        return lambda **given: RingVectorEnv(
            sources(count, EnvSource), num_workers=2, launcher=launcher, **given
        )

    kinds: dict[str, Callable[..., Any]] = {
        "vector envs": many,
        "local, fork": local("fork", 128),
        "local, forkserver": local("forkserver", 64),
        "old interpreter": prefix(64, sandbox=False),
        "host": lambda: RingVectorEnv(
            sources(32, EnvSource.elsewhere), remotes=host.url, num_workers=2
        ),
    }
    if boxes:
        kinds["sandbox"] = prefix(32, sandbox=True)
    made: list[Load] = []
    try:
        for name, make in kinds.items():
            made.append(Load(name, make, host if name == "host" else None))
    except BaseException:
        for each in made:
            each.close()
        host.end()
        raise
    return made, host
