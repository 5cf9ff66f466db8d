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
_PACKAGES: dict[str, tuple[str, ...] | Recipe] = {
    "dm-env-rpc": (
        *("absl-py==2.5.1", "dm-env==1.6", "dm-env-rpc==1.1.7", "dm-tree==0.1.10"),
        *("attrs==26.1.0", "googleapis-common-protos==1.76.0", "grpcio==1.85.3"),
        *("immutabledict==4.3.1", "numpy==2.4.6", "protobuf==7.36.2"),
        *("typing-extensions==4.16.0", "wrapt==2.5.2"),
    ),
    # its servers alone: no client was ever published
    "agent-gpt": (
        *("agent-gpt-aws==0.4.8", "annotated-doc==0.0.7", "annotated-types==0.8.0"),
        *("anyio==4.16.0", "certifi==2026.10.19.post1", "charset-normalizer==3.5.3"),
        *("click==8.5.1", "cloudpickle==3.1.3", "farama-notifications==0.0.6"),
        *("fastapi==0.165.0", "gymnasium==1.4.0", "h11==0.16.0", "idna==3.20", "msgpack==1.2.4"),
        *("numpy==2.4.6", "opentelemetry-api==1.45.2", "pydantic==2.14.4", "pydantic-core==2.50.5"),
        *("pyyaml==6.0.4", "requests==2.34.2", "starlette==1.10.0", "typing-extensions==4.16.0"),
        *("typing-inspection==0.4.5", "urllib3==2.8.0", "uvicorn==0.54.0"),
    ),
    "gymie": Recipe(
        "3.8",
        (
            *("numpy==1.24.4", "scipy==1.10.1", "cloudpickle==1.6.0", "pyglet==1.5.0"),
            *("future==1.0.0", "dnspython==1.16.0", "eventlet==0.28.0", "greenlet==3.1.1"),
            *("monotonic==1.6", "six==1.17.0", "gymie==0.5.4"),
        ),
        legacy=("gym==0.17.3",),
        tools=foreign_prefixes.OLD_TOOLS,
    ),
}


def python_of(name: str) -> str:
    """An interpreter with one of the above, or what `benchmarks/peers-NAME.txt` lists."""
    packages = _PACKAGES.get(name)
    if packages is None:
        lines = (_BENCHMARKS / f"peers-{name}.txt").read_text(encoding="utf-8").splitlines()
        packages = tuple(line for line in lines if line and not line.startswith("#"))
    recipe = packages if isinstance(packages, Recipe) else Recipe("3.11", packages)
    foreign_prefixes.RECIPES[name] = recipe
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
