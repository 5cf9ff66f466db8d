# SPDX-License-Identifier: MIT
"""What workers do wherever a launcher has them run: one suite for all launchers.

A subclass has a fixture `launcher`.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from envring import EnvSource, RemoteEnvError, RingVectorEnv, SourceError, WorkerDied
from envring.launchers.base import Launcher
from envring.testing import assert_same_batch, deadline
from envring.testing.conformance_base import quiet
from support.processes import Caller, wait_until

FILE = Path(__file__).with_name("plain_game.py")

CALLER = """
    import sys
    from envring import EnvSource, RingVectorEnv
    from {module} import {name} as launcher
    source = EnvSource({file!r} + ":make")
    envs = RingVectorEnv([source] * 2, launcher=launcher(), worker_env={{"MARK": {mark!r}}})
    envs.reset()
    print("up", flush=True)
    sys.stdin.read()
"""


def game(name: str = "make", **kwargs: Any) -> EnvSource:
    """A source of the env of `plain_game.py`."""
    return EnvSource(f"{FILE}:{name}", kwargs=kwargs)


def marked(mark: str) -> list[int]:
    """Processes of this machine, in whatever namespace, that have a mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


class LauncherConformance:
    """Tests of workers in another interpreter, one launcher at a time."""

    patience = 20.0  # seconds for processes to end

    def told(self, code: int) -> tuple[int, ...]:
        """What a command may say of its worker's end: of a signal, by an exit code."""
        return code, 128 + code

    @pytest.fixture(autouse=True)
    def _in_time(self) -> Iterator[None]:
        with deadline(50):
            yield

    @pytest.fixture
    def mark(self) -> Iterator[str]:
        """A text in the workers' environment; none of them is there at the end."""
        mark = f"envring-mark-{uuid.uuid4().hex}"
        yield mark
        gc.collect()
        wait_until(lambda: not marked(mark), self.patience, "workers have ended")

    @pytest.fixture
    def start(self, launcher: Launcher, mark: str) -> Iterator[Any]:
        """Makes vector envs that are closed at the end."""
        made: list[RingVectorEnv] = []

        def make(sources: Any = None, **kwargs: Any) -> RingVectorEnv:
            kwargs.setdefault("num_workers", 1)
            environ = {"MARK": mark, **kwargs.pop("worker_env", {})}
            sources = sources or [game(bonus=float(i)) for i in range(3)]
            envs = RingVectorEnv(sources, launcher=launcher, worker_env=environ, **kwargs)
            made.append(envs)
            return envs

        yield make
        with quiet():
            for envs in made:
                envs.close(terminate=True)

    def test_values_are_those_of_the_same_envs_here(self, start: Any) -> None:
        sources = [game(bonus=float(i)) for i in range(4)]
        envs, oracle = start(sources, num_workers=2), SyncVectorEnv(sources)
        try:
            assert_same_batch(envs.reset(seed=3), oracle.reset(seed=3))
            oracle.action_space.seed(3)
            for _ in range(20):
                actions = oracle.action_space.sample()
                assert_same_batch(envs.step(actions), oracle.step(actions))
        finally:
            oracle.close()

    def test_a_worker_for_each_env(self, start: Any) -> None:
        envs = start(num_workers=3)
        observations, _ = envs.reset(seed=0)
        assert observations.shape == (3, 3)
        assert envs.step(np.ones(3, int))[1].tolist() == [1.0, 2.0, 3.0]

    def test_workers_beside_those_of_the_caller(self, launcher: Launcher, mark: str) -> None:
        there = dataclasses.replace(game(), launcher=launcher)
        envs = RingVectorEnv([there, lambda: game()()], num_workers=2, worker_env={"MARK": mark})
        observations, _ = envs.reset(seed=[5, 5])
        assert (observations == observations[0]).all()
        envs.close()

    def test_prints_of_envs_do_not_break_the_protocol(self, start: Any, capfd: Any) -> None:
        envs = start([game(noisy=True)] * 2)
        envs.reset(seed=0)
        for _ in range(3):
            envs.step(np.zeros(2, int))
        envs.close()
        out, err = capfd.readouterr()
        assert out == ""
        for line in ("stdout: made", "stdout: step", "written to 1", "stderr: step"):
            assert line in err

    def test_an_env_that_raises_goes_on(self, start: Any) -> None:
        envs = start()
        envs.reset(seed=0)
        envs.call("get_into", "raise")
        with quiet(), pytest.raises((KeyError, RemoteEnvError), match="no such level"):
            envs.step(np.zeros(3, int))
        envs.reset(seed=0)
        envs.step(np.zeros(3, int))

    @pytest.mark.parametrize(("trouble", "code"), [("exit", 3), ("kill", 9)])
    def test_a_worker_that_dies(self, start: Any, trouble: str, code: int) -> None:
        envs = start()
        envs.reset(seed=0)
        envs.call("get_into", trouble)
        with quiet(), pytest.raises(WorkerDied) as caught:
            envs.step(np.zeros(3, int))
        assert (caught.value.signal or caught.value.exitcode) in self.told(code)

    def test_a_worker_s_last_words(self, start: Any) -> None:
        envs = start([game()], num_workers=1)
        envs.reset(seed=0)
        envs.call("get_into", "exit")
        with quiet(), pytest.raises(WorkerDied, match="last words of the game"):
            envs.step(np.zeros(1, int))

    def test_a_hanging_env_is_ended(self, start: Any) -> None:
        envs = start()
        envs.reset(seed=0)
        envs.call("get_into", "hang")
        envs.step_async(np.zeros(3, int))
        begun = time.monotonic()
        with quiet():
            envs.close(terminate=True)
        assert time.monotonic() - begun < self.patience

    def test_without_close_nothing_is_left(self, start: Any, launcher: Launcher, mark: str) -> None:
        envs = RingVectorEnv([game()], launcher=launcher, worker_env={"MARK": mark})
        envs.reset()
        del envs

    def test_a_constructor_that_raises(self, start: Any, launcher: Launcher) -> None:
        with pytest.raises(RemoteEnvError, match="this game needs a licence") as caught:
            start([game(), game("fails")])
        assert "env 1" in str(caught.value).lower()

    def test_a_file_that_cannot_be_imported(self, start: Any, tmp_path: Path) -> None:
        (tmp_path / "env_main.py").write_text("import nothing_like_this\n")
        with pytest.raises(SourceError, match="nothing_like_this"):
            start([EnvSource(f"{tmp_path}/env_main.py:make")])

    def test_a_setup_file_is_run_first(self, start: Any, tmp_path: Path) -> None:
        setup = tmp_path / "setup_first.py"
        setup.write_text("import os\nos.environ['SET_UP'] = __file__\n")
        envs = start([EnvSource(f"{FILE}:make", setup=setup)])
        assert envs.call("variable", "SET_UP")[0].endswith("setup_first.py")

    def test_variables(self, start: Any, monkeypatch: Any, tmp_path: Path) -> None:
        planted = tmp_path / "planted"
        planted.mkdir()
        (planted / "sitecustomize.py").write_text("raise SystemExit('of the caller')")
        monkeypatch.setenv("PYTHONPATH", str(planted))
        monkeypatch.setenv("PYTHONHASHSEED", "5")
        monkeypatch.setenv("LD_PRELOAD", "/nowhere/libintruder.so")
        envs = start([game()], worker_env={"LEVEL": "9"})
        seen = {name: envs.call("variable", name)[0] for name in ("LEVEL", "PYTHONHASHSEED")}
        assert seen == {"LEVEL": "9", "PYTHONHASHSEED": None}
        assert envs.call("variable", "LD_PRELOAD") == (None,)
        about = envs.call("about")[0]
        assert str(planted) not in about["path"] and about["isolated"] == 1

    def test_a_caller_that_is_killed_leaves_no_worker(
        self, request: Any, launcher: Launcher, mark: str
    ) -> None:
        module, name = self.remade(request)
        script = CALLER.format(module=module, name=name, file=str(FILE), mark=mark)
        with Caller(script) as caller:
            assert caller.line(40) == "up"
            assert marked(mark)
            caller.process.kill()
            wait_until(lambda: not marked(mark), self.patience, "workers see that we are gone")

    def remade(self, request: Any) -> tuple[str, str]:
        """Module and name of a function that makes the launcher in another process."""
        raise AssertionError("a subclass says it")


class SandboxConformance(LauncherConformance):
    """The same, of a launcher that has sandbox=True."""

    def test_no_network(self, start: Any) -> None:
        envs = start([game()])
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = list(server.getsockname())
            assert envs.call("attempt", "connect", address) == ("ConnectionRefusedError",)

    def test_what_is_outside_can_be_neither_read_nor_written(
        self, start: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("key")
        envs = start([game()])
        here = envs.call("about")[0]["path"]
        assert envs.call("attempt", "read", str(tmp_path / "secret")) == ("FileNotFoundError",)
        for folder in ("/", "/usr", *(path for path in here if os.path.isdir(path))):
            place = os.path.join(folder, "written-by-a-game")
            assert envs.call("attempt", "write", place)[0] in ("OSError", "PermissionError")
        assert envs.call("attempt", "write", "/tmp/scratch") == ("written",)
