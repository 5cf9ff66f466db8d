# SPDX-License-Identifier: MIT
"""`envring doctor`: whether this machine and this installation suit, and what to change."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Sequence

import click

from envring._version import __version__
from envring.doctor import checks
from envring.doctor.finding import OK, PROBLEM, WARNING, Finding

_COLOURS = {OK: "green", WARNING: "yellow", PROBLEM: "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def doctor(as_json: bool) -> None:
    """Check this machine and this installation, and say what to change.

    "warning": something is slow or cannot be used; "problem": envs cannot run, and the exit code
    is 1. It takes 10 seconds at most, changes nothing and needs no rights.
    """
    found = checks.run()
    if as_json:
        rows = [dataclasses.asdict(each) for each in found]
        click.echo(json.dumps({"version": __version__, "checks": rows}, indent=1))
    elif sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
        _show_rich(found)
    else:
        _show(found)
    if any(each.level == PROBLEM for each in found):
        click.get_current_context().exit(1)


def _show(found: Sequence[Finding]) -> None:
    width = max(len(each.name) for each in found)
    for each in found:
        level = click.style(each.level.ljust(len(WARNING)), fg=_COLOURS[each.level])
        click.echo(f"{level}  {each.name.ljust(width)}  {each.text}")
        if each.cure:
            click.echo(f"{'':{len(WARNING)}}  {'':{width}}  -> {each.cure}")


def _show_rich(found: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    for each in found:
        what = each.text + (f"\n-> {each.cure}" if each.cure else "")
        level = Text(each.level, style=_COLOURS[each.level])
        table.add_row(level, Text(each.name, no_wrap=True), Text(what, overflow="fold"))
    Console().print(table)
