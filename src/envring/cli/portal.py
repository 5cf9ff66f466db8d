# SPDX-License-Identifier: MIT
"""`envring portal`: the command of Portal-Env, for those who come from there."""

from __future__ import annotations

import click

from envring.api.portal import directory_named, launcher_for, usage
from envring.cli.env import build_prefix
from envring.launchers.micromamba import Micromamba


@click.group()
def portal() -> None:
    """Env directories by the commands of Portal-Env."""


@portal.command()
@click.argument("name")
@click.option("-b", "--backend", metavar="NAME", help="micromamba (mm), docker, or a solver")
@click.option("-p", "--path", metavar="DIR", help="the env directory, instead of a recipe's")
@click.option("-f", "--force-build", is_flag=True, help="build again even if it is built")
@click.option("-d", "--detach", is_flag=True, help="ignored: nothing runs in the foreground")
def start(
    name: str, backend: str | None, path: str | None, force_build: bool, detach: bool
) -> None:
    """Build the env directory or recipe NAME and print how to use it. Serves nothing."""
    directory = f"dir:{path}" if path else directory_named(name)
    launcher = launcher_for(directory, backend)
    if isinstance(launcher, Micromamba):
        click.echo(build_prefix(launcher, force_build).prefix)
    click.echo(usage(directory))
