# SPDX-License-Identifier: MIT
"""Hosts in processes of their own, as users start them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

WIRE_ENVS = Path(__file__).with_name("wire_envs.py")


class HostProcess:
    """A host that runs `envring serve`.

    Attributes:
        process: it.
        urls: where it listens.
    """

    def __init__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        command: Sequence[str] = ("-m", "envring.cli"),
        quiet: bool = False,
    ) -> None:
        """Starts it and waits until it listens.

        Args:
            *arguments: of `envring serve`.
            env: its environment variables.
            command: what Python is to run.
            quiet: whether it has no log.
        """
        ours, theirs = os.pipe()
        argv = [sys.executable, *command, "serve", *arguments, "--ready-fd", str(theirs)]
        if "--listen" not in arguments:
            argv += ["--listen", "tcp://127.0.0.1:0"]
        self.process = subprocess.Popen(
            argv,
            pass_fds=[theirs],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        os.close(theirs)
        with open(ours) as file:
            self.urls = file.read().split()
        if not self.urls:
            self.end()
            raise RuntimeError(self.log)

    @property
    def url(self) -> str:
        """The first of `urls`."""
        return self.urls[0]

    def workers(self) -> list[int]:
        """The pids of its workers."""
        found: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has ended
                found += map(int, (task / "children").read_text().split())
        return found

    def end(self) -> int:
        """Ends it; its exit code. What it logged is in `log` afterwards."""
        self.process.terminate()
        try:
            _, errors = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, errors = self.process.communicate(timeout=20)
        self.log = (errors or b"").decode("utf-8", "replace")
        return self.process.returncode


@contextlib.contextmanager
def running(*arguments: str, env: dict[str, str] | None = None) -> Iterator[HostProcess]:
    """A host, ended at the end."""
    host = HostProcess(*arguments, env=env)
    try:
        yield host
    finally:
        if host.process.poll() is None:
            host.end()
        elif host.process.stderr is not None:
            host.process.stderr.close()


@contextlib.contextmanager
def running_setup(
    listen: str,
    *arguments: str,
    setup: Path = WIRE_ENVS,
    first: Sequence[str] = (),
    env: dict[str, str] | None = None,
) -> Iterator[HostProcess]:
    """A host of all envs that a file registers in its workers.

    Args:
        listen: where.
        *arguments: of `envring serve`.
        setup: the file.
        first: envs that come before all others: the first is for callers that name none.
        env: its environment variables.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "serve.toml"
        path.write_text(f"[runtimes.envs]\nenvs = {[*first, '*']}\nsetup = '{setup}'\n")
        with running("--config", str(path), "--listen", listen, *arguments, env=env) as host:
            yield host
