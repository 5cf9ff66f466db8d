# SPDX-License-Identifier: MIT
"""Gymie's own interface, for scripts that were written for it.

python -m envring.gymie --port 5000
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
from collections.abc import Sequence
from typing import Any

from envring.gateways.serving import serve
from envring.gateways.web.gymie import (
    EnvironmentMalformed,
    EnvironmentNotFound,
    InstanceNotFound,
    WrongAction,
    override,
)

__all__ = [
    "EnvironmentMalformed",
    "EnvironmentNotFound",
    "InstanceNotFound",
    "WrongAction",
    "override",
    "start",
]


def start(
    host: str = "127.0.0.1", port: int = 5000, envs: Sequence[str] = ("*",), **options: Any
) -> None:
    """Serves envs to Gymie's clients until it is interrupted; needs `envring[web]`.

    Args:
        host: where to listen; "0.0.0.0" only with `insecure=True`.
        port: the port.
        envs: names or patterns of envs; "*" is every registered id.
        **options: of `envring.serve`.

    Raises:
        AddressError: the address is in use, or not allowed.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        return  # a worker, or the server that forks them, imports the script for its functions
    with (
        contextlib.suppress(KeyboardInterrupt),
        serve(list(envs), listen=f"http://{host}:{port}", **options) as served,
    ):
        print(f"Gymie's clients: {served.url}/gym", flush=True)
        served.wait()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m envring.gymie")
    parser.add_argument("envs", nargs="*", default=["*"], metavar="ENV")
    parser.add_argument("-l", "--host", default="127.0.0.1")
    parser.add_argument("-p", "--port", default=5000, type=int)
    parser.add_argument("--insecure", action="store_true", help="let other machines in")
    asked = parser.parse_args()
    start(asked.host, asked.port, asked.envs, insecure=asked.insecure)


if __name__ == "__main__":
    _main()
