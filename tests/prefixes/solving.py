# SPDX-License-Identifier: MIT
"""A stand-in for micromamba, and builders that run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

WITHIN = 30.0  # seconds

STAND_IN = """#!/bin/sh
# makes a prefix whose Python is that of the tests
echo "$(basename "$0") $*" >> "$STAND_IN_CALLS"
while [ $# -gt 0 ]; do
  case $1 in -p) prefix=$2;; -f|--file) cp "$2" "$STAND_IN_CALLS.read";; esac
  shift
done
echo "looking for packages"
mkdir -p "$prefix/conda-meta" "$prefix/bin" "$prefix/lib"
echo '{}' > "$prefix/conda-meta/python-3.11.0-0_stand_in.json"
[ -z "$STAND_IN_GATE" ] || read -r ignored < "$STAND_IN_GATE"
[ -z "$STAND_IN_SAYS" ] || printf '%b\\n' "$STAND_IN_SAYS"
[ -n "$STAND_IN_NO_PYTHON" ] || ln -s "$STAND_IN_PYTHON" "$prefix/bin/python"
exit "${STAND_IN_EXIT:-0}"
"""

BUILDER = """
import sys
from envring.launchers.micromamba import Micromamba
try:
    entry, ready = Micromamba(*sys.argv[1:]).obtain()
except Exception as error:
    print(type(error).__name__, error)
else:
    print(ready.prefix)
"""


@dataclass
class Solving:
    """What the stand-in is to do, and what it was asked to do.

    Attributes:
        directory: for everything of the test.
        variables: environment of builders, with the stand-in as $MAMBA_EXE.
    """

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> list[str]:
        """Its calls so far."""
        path = self.directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def was_given(self) -> str:
        """The file it was told to install, last time."""
        return (self.directory / "calls.read").read_text()

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    def install(self, name: str = "micromamba", directory: str = "programs") -> Path:
        """Puts the stand-in somewhere, under a name."""
        path = self.directory / directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(STAND_IN)
        path.chmod(0o755)
        return path

    def spec(
        self, text: str = "name: game\ndependencies: [python]\n", name: str = "spec.yml"
    ) -> str:
        """Writes a spec; returns its path."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def gate(self) -> Path:
        """Makes the stand-in wait, until the gate is opened."""
        path = self.directory / "gate"
        if not path.exists():
            os.mkfifo(path)
        self.variables["STAND_IN_GATE"] = str(path)
        return path

    def open_gate(self) -> None:
        """Lets it go on: it waits for a writer, and this one waits for it."""
        with open(self.directory / "gate", "w") as gate:
            gate.write("go\n")
        del self.variables["STAND_IN_GATE"]

    def start(self, spec: str, *more: str) -> Builder:
        """Begins a build in another process."""
        return Builder(self, [sys.executable, "-c", BUILDER, spec, *more])


class Builder:
    """A process that builds; its output goes to files."""

    count = 0

    def __init__(self, solving: Solving, argv: list[str]) -> None:
        Builder.count += 1
        stem = solving.directory / f"builder-{Builder.count}"
        self.out, self.err = stem.with_suffix(".out"), stem.with_suffix(".err")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                argv, env=os.environ | solving.variables, stdout=out, stderr=err
            )

    def wait_for(self, text: str) -> None:
        """Until it has said something on stderr."""
        wait_until(lambda: text in self.err.read_text(), f"{text!r} of a builder")

    def result(self) -> str:
        """What it printed in the end."""
        assert self.process.wait(WITHIN) == 0, self.err.read_text()
        return self.out.read_text().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WITHIN)


def wait_until(condition, what: str) -> None:
    """Polls, with a deadline."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {WITHIN} s"
        time.sleep(0.01)
