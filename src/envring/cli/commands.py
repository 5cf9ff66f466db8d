# SPDX-License-Identifier: MIT
"""The commands, and how errors of this package are shown."""

from __future__ import annotations

from typing import Any

import click

import envring
from envring.cli.env import env
from envring.errors import EnvringError


class _Group(click.Group):
    """Shows this package's errors as they are, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EnvringError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(envring.__version__, prog_name="envring")
def command() -> None:
    """Gymnasium environments in worker processes, in any interpreter."""


command.add_command(env)
