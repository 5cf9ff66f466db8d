# SPDX-License-Identifier: MIT
"""Ray nodes on this machine. ray.cluster_utils takes addresses that do not fit here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.books import MARK
from support.processes import wait_until

_NODE = "ENVRING_TEST_RAY_NODE"  # in the environment of all that a node starts
_START_SECONDS = 90.0
# a lost node is noticed after a second or two
_FAST = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
}


class RayNodes:
    """Two nodes.

    Args:
        cpus: of each.
        niceness: of what they start; Ray's own is 15.

    Attributes:
        address: for `ray.init`.
    """

    def __init__(self, cpus: int = 2, niceness: int = 0) -> None:
        """Starts them."""
        self._niceness = str(niceness)
        self._directory = tempfile.mkdtemp(prefix="ray-")  # short: it holds names of sockets
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.address = f"127.0.0.1:{_free_port()}"
        port = self.address.rpartition(":")[2]
        try:
            self._start("--head", f"--port={port}", "--include-dashboard=false", cpus=cpus)
            _wait_for_port(int(port))
            self._start(f"--address={self.address}", cpus=cpus)
        except BaseException:
            self.end()
            raise

    def _start(self, *arguments: str, cpus: int) -> None:
        number = len(self._nodes)
        keep = {name: value for name, value in os.environ.items() if name != MARK}
        common = [f"--num-cpus={cpus}", "--num-gpus=0", "--node-ip-address=127.0.0.1"]
        common += ["--object-store-memory=80000000", "--disable-usage-stats", "--block"]
        if "--head" in arguments:
            common.append(f"--temp-dir={self._directory}")
        with open(Path(self._directory) / f"node{number}.log", "wb") as log:
            self._nodes.append(
                subprocess.Popen(
                    [Path(sys.executable).with_name("ray"), "start", *arguments, *common],
                    env=keep
                    | _FAST
                    | {
                        _NODE: f"{self._mark}-{number}",
                        "RAY_worker_niceness": self._niceness,
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def log(self) -> str:
        """What the nodes printed."""
        return "".join(path.read_text() for path in Path(self._directory).glob("node*.log"))

    def pids(self, number: int | None = None) -> list[int]:
        """All processes of a node, or of all nodes."""
        sign = f"{_NODE}={self._mark}-{'' if number is None else number}".encode()
        found = []
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                variables = Path(f"/proc/{int(name)}/environ").read_bytes().split(b"\0")
                if any(each.startswith(sign) for each in variables):
                    found.append(int(name))
        return found

    def env_workers(self) -> list[int]:
        """Processes with envs, of all nodes."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if b"envring" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def kill(self, number: int) -> None:
        """Kills a node and all that it started."""
        for pid in self.pids(number):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._nodes[number].wait()

    def end(self) -> None:
        """Ends all nodes."""
        for number in reversed(range(len(self._nodes))):
            self.kill(number)
        wait_until(lambda: not self.pids(), 10, "every process of Ray has ended")
        shutil.rmtree(self._directory, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        assert time.monotonic() < deadline, "Ray did not start"
        time.sleep(0.05)
