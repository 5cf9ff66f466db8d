# SPDX-License-Identifier: MIT
"""Workers that are not forked: they know what the caller has registered, and start quickly."""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from envring import RingVectorEnv
from envring.api.known_ids import KnownIds
from envring.testing import CountingEnv
from envring.workers import blas
from support.processes import CONTEXTS

SCRIPT = """
import multiprocessing, os, sys
import gymnasium as gym
import envring
from envring.testing import CountingEnv

class Mine(CountingEnv):
    pass

SHOWN = "print(os.environ.get('OMP_NUM_THREADS'), 'gymnasium' in sys.modules, flush=True)"

if __name__ == "__main__":
    context = sys.argv[1]
    gym.register("Guarded-v0", entry_point=Mine, disable_env_checker=True)
    envs = envring.RingVectorEnv([lambda: gym.make("Guarded-v0")] * 2, context=context)
    envs.reset()
    print(type(envs.spec).__name__, envs.num_envs)
    envs.close()
    envs = envring.make_vec("Guarded-v0", 2, context=context)
    envs.reset()
    print(envs.spec.id)
    envs.close()
    # others use the server, too
    other = multiprocessing.get_context("forkserver").Process(
        target=exec, args=("import os, sys; " + SHOWN,)
    )
    if context == "forkserver":
        other.start()
        other.join()
"""


@pytest.mark.parametrize("context", ["forkserver", "spawn"])
def test_ids_that_a_script_registers(tmp_path: Path, context: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), context],
        capture_output=True,
        text=True,
        timeout=35,
        env={
            **{name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        check=False,
    )
    assert done.stderr == ""
    *lines, last = done.stdout.splitlines()
    if context == "forkserver":
        assert last == "None True"
        last = lines.pop()
    assert last == "Guarded-v0"


def test_ids_that_cannot_be_pickled_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = gymnasium.registry
    for name, kwargs in [("Locked-v0", {"lock": threading.Lock()}), ("Free-v0", {"n": 1})]:
        spec = gymnasium.envs.registration.EnvSpec(name, entry_point="mine:Env", kwargs=kwargs)
        monkeypatch.setitem(registry, name, spec)
    data = pickle.dumps(KnownIds())
    monkeypatch.delitem(registry, "Free-v0")
    monkeypatch.delitem(registry, "Locked-v0")
    pickle.loads(data)
    assert registry.pop("Free-v0").kwargs == {"n": 1}
    assert "Locked-v0" not in registry


class Blas(CountingEnv):
    def threads(self) -> list[int]:
        found = []
        for path in blas._loaded():
            library = ctypes.CDLL(path)
            found += [
                getattr(library, get)() for get, _ in blas._CALLS if getattr(library, get, None)
            ]
        return found


@pytest.mark.parametrize("context", CONTEXTS)
def test_blas_of_a_worker_uses_one_thread(context: str) -> None:
    """The variables come too late for libraries that are there already."""
    envs: Any = RingVectorEnv([Blas], context=context)
    try:
        (threads,) = envs.call("threads")
    finally:
        envs.close()
    if not threads:
        pytest.skip("NumPy has a BLAS whose threads are not known here: their number is unchecked")
    assert set(threads) == {1}
