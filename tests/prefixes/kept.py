# SPDX-License-Identifier: MIT
"""Prefixes with packages of PyPI: built before the first test that needs them, and kept.

conda-forge is played by the channel of local CPythons; the releases are those of
`requirements/recipes.txt`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from envring.api.portal import open_directory
from envring.errors import EnvringError
from envring.launchers.micromamba import Micromamba
from envring.prefixes import recipes
from support import foreign_prefixes, local_channel

TESTED = tuple(each.name for each in recipes.available() if each.tested)
BUILD_SECONDS = "600"
RELEASES = Path(__file__).parents[2] / "requirements/recipes.txt"

failed: dict[str, EnvringError] = {}


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """Of the cache that is kept; a channel of its own makes prefixes of their own."""
    home = foreign_prefixes.cache() / "conda"
    mirror = home / f"mirror-{local_channel.place().name}"
    local_channel.build()
    mirror.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (mirror / "conda-forge").symlink_to(local_channel.place())
    releases = hashlib.sha256(RELEASES.read_bytes()).hexdigest()[:12]
    variables = {
        "ENVRING_CACHE": str(home / f"cache-{releases}"),
        "PIP_CONSTRAINT": str(RELEASES),
        "ENVRING_BUILD_TIMEOUT": BUILD_SECONDS,
        "CONDA_CHANNEL_ALIAS": mirror.as_uri(),
    }
    with mock.patch.dict(os.environ, variables):
        yield


def launcher(name: str) -> Micromamba:
    """Of a recipe."""
    return open_directory(f"recipe:{name}", solver="rattler")[1]


def python_of(name: str) -> str:
    """The version of Python that a recipe asks for."""
    packages = launcher(name).request().spec.dependencies
    return next(each[7:] for each in packages if each.startswith("python="))


def build(names: Iterable[str]) -> None:
    """Builds recipes whose Python is here, as many at once as there are CPUs."""
    wanted = [name for name in names if python_of(name) in local_channel.versions()]
    with surroundings(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for name, future in [(n, threads.submit(launcher(n).obtain)) for n in wanted]:
            error = future.exception()
            if isinstance(error, EnvringError):
                failed[name] = error
            elif error is not None:
                raise error
