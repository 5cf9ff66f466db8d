# SPDX-License-Identifier: MIT
"""Callers whose forked workers may hang: what is cured, and what is warned of."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from envring import RingVectorEnv
from envring.testing import CountingEnv
from envring.workers import forking
from support.processes import wait_until


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_said", set())


def start(**kwargs: Any) -> None:
    """Warnings are errors here."""
    RingVectorEnv([CountingEnv] * 2, **{"context": "fork", "num_workers": 1, **kwargs}).close()


@pytest.fixture
def running() -> Iterator[Callable[[Callable[[threading.Event], None]], None]]:
    """Starts a thread, which is to end when the event is set."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def run(target: Callable[[threading.Event], None]) -> None:
        threads.append(threading.Thread(target=target, args=(stop,), name="saving"))
        threads[-1].start()

    yield run
    stop.set()
    for thread in threads:
        thread.join()


def compute(stop: threading.Event) -> None:
    while not stop.is_set():
        pass


def test_thread_that_runs(running: Any) -> None:
    running(compute)
    with pytest.warns(RuntimeWarning, match=r"'saving'.*context='forkserver'"):
        start()
    start()  # once


def test_other_workers_than_forked_ones(running: Any) -> None:
    running(compute)
    start(num_workers=0)
    start(context="spawn")


def test_thread_that_waits(running: Any) -> None:
    """As loggers and progress bars do."""
    running(threading.Event.wait)
    wait_until(lambda: not forking.running_threads(), 10, "it waits, and is known to")
    start()


def test_threads_of_this_package() -> None:
    envs = RingVectorEnv([CountingEnv] * 2, context="fork", num_workers=2)
    try:
        envs.reset()
        start()
    finally:
        envs.close()


MAPS = "7f00-7f01 r-xp 00000000 08:02 17 /usr/lib/x86_64-linux-gnu/"
EGL = MAPS + "libEGL.so.1.1.0\n"
DRIVER = MAPS + "dri/swrast_dri.so\n"
CUDA = MAPS + "libcuda.so.570.1\n"
DEVICE = "7f00-7f01 rw-s 00000000 00:06 1021 /dev/nvidia0\n"


@pytest.mark.parametrize(
    ("maps", "found"),
    [
        (EGL, []),  # loaded is not used
        (DRIVER, []),
        (EGL + DRIVER, ["EGL is in use"]),
        (EGL + MAPS + "libnvidia-eglcore.so.570.1\n", ["EGL is in use"]),
        (CUDA, []),
        (CUDA + DEVICE, ["CUDA is in use"]),
        (MAPS + "libcudart.so.12\n" + DEVICE, []),
    ],
)
def test_drivers(maps: str, found: list[str]) -> None:
    assert forking.drivers_in_use(maps) == found


def test_driver_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_maps", lambda: EGL + DRIVER + CUDA + DEVICE)
    with pytest.warns(RuntimeWarning, match="EGL is in use and CUDA is in use"):
        start()
    start()


EGL_SCRIPT = """
import ctypes, warnings
import envring
from envring.testing import CountingEnv
try:
    egl = ctypes.CDLL("libEGL.so.1")
except OSError:
    raise SystemExit("no libEGL")
warnings.simplefilter("error")
envring.RingVectorEnv([CountingEnv], context="fork").close()  # loaded is not used
egl.eglGetPlatformDisplay.restype = ctypes.c_void_p
egl.eglGetPlatformDisplay.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
SURFACELESS = 0x31DD
display = egl.eglGetPlatformDisplay(SURFACELESS, None, None)
if not display or not egl.eglInitialize(ctypes.c_void_p(display), None, None):
    raise SystemExit("no libEGL that works")
try:
    envring.RingVectorEnv([CountingEnv], context="fork")
except RuntimeWarning as warning:
    print(warning)
"""


def run_script(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=35,
        env={**os.environ, "PYTHONPATH": path, **environ},
        check=False,
    )


def test_egl_itself() -> None:
    done = run_script(EGL_SCRIPT)
    if "no libEGL" in done.stderr:
        pytest.skip("no EGL here: whether it is noticed stays unchecked")
    assert "EGL is in use" in done.stdout, done.stderr


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for it."""
    module = SimpleNamespace(get_num_threads=lambda: 3, set_num_threads=lambda count: None)
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("threads", ["2", None])
def test_workers_that_may_use_several_threads_of_torch(threads: str | None) -> None:
    """They hang if the caller used them."""
    start()  # workers use one
    with pytest.warns(RuntimeWarning, match=r"torch uses several threads.*'forkserver'"):
        start(worker_env={"OMP_NUM_THREADS": threads})


TORCH_SCRIPT = """
import torch
import envring
from envring.testing import CountingEnv

torch.set_num_threads(2)

def work():
    net = torch.nn.Linear(256, 256)
    net(torch.randn(512, 256)).sum().backward()
    torch.sin(torch.randn(10**6)).sum()

class Learning(CountingEnv):
    def step(self, action):
        work()
        return super().step(action)

work()
envs = envring.RingVectorEnv([Learning] * 2, num_workers=2, context="fork", step_timeout=20)
envs.reset()
envs.step([0, 0])
print(torch.get_num_threads())
envs.close()
"""


def test_torch_itself() -> None:
    """Its threads do not survive a fork; AsyncVectorEnv waits for ever."""
    if not any(os.path.isdir(os.path.join(path, "torch")) for path in sys.path):
        pytest.skip("no torch here: a stand-in is used in tests/unit/test_blas.py")
    done = run_script(TORCH_SCRIPT)
    assert done.stdout == "2\n", done.stderr


class Collected(CountingEnv):
    """Says what its process's collector leaves alone."""

    def frozen(self) -> int:
        """Number of objects."""
        return gc.get_freeze_count()


def test_collections_in_workers_leave_the_callers_objects_alone() -> None:
    """Each page that a collection looks at would be copied, in every worker."""
    assert gc.is_tracked(kept := [[] for _ in range(1000)])
    envs: Any = RingVectorEnv([Collected] * 2, num_workers=2, context="fork")
    try:
        assert min(envs.call("frozen")) > len(kept)
    finally:
        envs.close()
