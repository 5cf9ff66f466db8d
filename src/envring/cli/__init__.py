# SPDX-License-Identifier: MIT
"""The command `envring`."""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Runs the command line.

    Raises:
        SystemExit: always, with the command's exit code.
    """
    if importlib.util.find_spec("click") is None:
        sys.exit("The command envring needs click: pip install 'envring[cli]'")
    from envring.cli.commands import command

    command(prog_name="envring")
