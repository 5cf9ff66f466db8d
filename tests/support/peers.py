# SPDX-License-Identifier: MIT
"""Interpreters with clients and servers of other projects, and scripts of this folder in them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support import foreign_prefixes
from support.foreign_prefixes import Recipe

HERE = Path(__file__).parent
_BENCHMARKS = HERE.parents[1] / "benchmarks"
_PACKAGES = {
    "dm-env-rpc": (
        *("absl-py==2.5.1", "dm-env==1.6", "dm-env-rpc==1.1.7", "dm-tree==0.1.10"),
        *("attrs==26.1.0", "googleapis-common-protos==1.76.0", "grpcio==1.85.3"),
        *("immutabledict==4.3.1", "numpy==2.4.6", "protobuf==7.36.2"),
        *("typing-extensions==4.16.0", "wrapt==2.5.2"),
    )
}


def python_of(name: str) -> str:
    """An interpreter with "dm-env-rpc", or what `benchmarks/peers-NAME.txt` lists."""
    packages = _PACKAGES.get(name)
    if packages is None:
        lines = (_BENCHMARKS / f"peers-{name}.txt").read_text(encoding="utf-8").splitlines()
        packages = tuple(line for line in lines if line and not line.startswith("#"))
    foreign_prefixes.RECIPES[name] = Recipe("3.11", packages)
    return str(foreign_prefixes.build(name) / "bin/python")


@contextlib.contextmanager
def server(script: str, *arguments: str, python: str = sys.executable) -> Iterator[int]:
    """A script that prints its port and serves, killed at the end."""
    argv = [python, str(HERE / script), *arguments]
    with subprocess.Popen(
        argv, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
