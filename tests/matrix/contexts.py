# SPDX-License-Identifier: MIT
"""Where the workers of a cell run: vector envs of the envs that go wrong, made in each way."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envring import EnvSource, Prefix, Program, RingVectorEnv, Sandbox
from matrix import plain_faults
from matrix.made import Made, arguments
from matrix.play import NUM_ENVS
from matrix.table import LOCAL
from support import foreign_prefixes, programs
from support.hosts import HostProcess

FILE = Path(plain_faults.__file__)
OLD = "gym-0.21"  # the interpreter of prefix and sandbox: Python 3.8

# runs as an interpreter starts, before anything of ours
AT_START = """
import os
with open("/proc/self/cmdline", "rb") as file:
    words = file.read()
if b"worker.py" in words and os.path.exists({folder!r} + "/launch"):
    space = {{"__name__": "faults"}}
    exec(compile(open({file!r}).read(), {file!r}, "exec"), space)
    space["passing"]({folder!r}, "launch")
"""

# a host that gives workers less time to end
HOST = """
from envring.pool import ending
ending.CLOSE_SECONDS = 1.5
from envring.cli import main
main()
"""


class Places:
    """Makes vector envs in every context.

    Attributes:
        folder: where their envs look for what is to go wrong.
        host: of the context "remote", once it was needed.
    """

    def __init__(self, root: Path) -> None:
        """Keeps what is made for several cells below `root`."""
        self.root = root
        self.folder = root / "to_do"
        self.folder.mkdir()
        self.host: HostProcess | None = None
        self._prefixes: dict[str, Path] = {}
        self._patience: dict[str, float] = {}
        self._forks = False
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        if self._forks:
            plain_faults.passing(str(self.folder), "launch")

    def maker(self, context: str) -> Callable[..., RingVectorEnv[Any, Any]]:
        """What makes a vector env in this context."""
        folder = str(self.folder)
        if context in LOCAL:

            def local(**settings: Any) -> RingVectorEnv[Any, Any]:
                self._forks = context == "fork"
                fns = [Made(i, folder) for i in range(NUM_ENVS)]
                return RingVectorEnv(fns, context=context, **settings)

            return local
        self._forks = False
        sources = [EnvSource(f"{FILE}:make", kwargs=arguments(i, folder)) for i in range(NUM_ENVS)]
        where: dict[str, Any] = {}
        if context == "remote":
            sources = [
                EnvSource.elsewhere(f"{FILE}:make", kwargs=arguments(i, folder))
                for i in range(NUM_ENVS)
            ]
            where["remotes"] = self._start_host().url
        elif context == "program":
            where["launcher"] = Program(str(self._program()))
            where["worker_env"] = {"FAULTS": folder}
        else:
            sandbox = Sandbox(write=(folder,)) if context == "sandbox" else False
            where["launcher"] = Prefix(self._old(), sandbox=sandbox)
        return lambda **settings: RingVectorEnv(sources, **where, **settings)

    def patience(self, context: str) -> float:
        """Seconds in which a start is surely done here, as this machine is now."""
        if context not in self._patience:
            for path in self.folder.iterdir():
                path.unlink()
            begun = time.monotonic()
            self.maker(context)(num_workers=2).close()
            self._patience[context] = 3.0 + 6.0 * (time.monotonic() - begun)
        return self._patience[context]

    def host_descriptors(self) -> int:
        """How many the host has open."""
        return 0 if self.host is None else len(os.listdir(f"/proc/{self.host.process.pid}/fd"))

    def _old(self) -> Path:
        if "old" not in self._prefixes:
            packages = next((foreign_prefixes.build(OLD) / "lib").glob("python*/site-packages"))
            python = foreign_prefixes.interpreter(foreign_prefixes.RECIPES[OLD].version)
            assert python is not None
            self._prefixes["old"] = self._prefix("old", python, [str(packages)])
        return self._prefixes["old"]

    def _program(self) -> Path:
        if not (self.root / "faults").exists():
            programs.build(FILE.with_name("faults.cpp"), self.root)
        return self.root / "faults"

    def _prefix(self, name: str, python: str, packages: list[str]) -> Path:
        """A virtual environment with packages of others, and with the hook at its start."""
        path = self.root / name
        subprocess.run([python, "-I", "-m", "venv", "--without-pip", path], check=True, timeout=60)
        site = next((path / "lib").glob("python*/site-packages"))
        (site / "a.pth").write_text("".join(f"{each}\n" for each in packages))
        (site / "at_start.py").write_text(AT_START.format(folder=str(self.folder), file=str(FILE)))
        (site / "z.pth").write_text("import at_start\n")
        return path

    def _start_host(self) -> HostProcess:
        if self.host is None:
            packages = [sysconfig.get_paths()["purelib"]]
            path = self._prefix("ours", sys.executable, packages)
            options = ["--grace", "0.3", "--launcher", f"prefix:{path}"]
            self.host = HostProcess(f"{FILE}:make", *options, command=("-c", HOST), quiet=True)
        return self.host

    def close(self) -> None:
        """Ends the host."""
        if self.host is not None:
            self.host.end()
