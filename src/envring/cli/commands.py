# SPDX-License-Identifier: MIT
"""The commands, and how errors of this package are shown."""

from __future__ import annotations

import importlib
from typing import Any

import click

from envring._version import __version__
from envring.cli.env import env
from envring.errors import EnvringError

# commands whose modules are imported only when they are used or help is shown
_LAZY = {
    "bench": "envring.bench.command",
    "clean": "envring.cli.clean",
    "cluster": "envring.cli.cluster",
    "demo": "envring.cli.demo",
    "doctor": "envring.cli.doctor",
    "portal": "envring.cli.portal",
    "serve": "envring.cli.serve",
    "top": "envring.cli.top",
    "tune": "envring.bench.command",
}


class _Group(click.Group):
    """Shows this package's errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _LAZY:
            found: click.Command = getattr(importlib.import_module(_LAZY[cmd_name]), cmd_name)
            return found
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EnvringError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="envring")
def command() -> None:
    """Gymnasium environments in worker processes, in any interpreter."""


command.add_command(env)
