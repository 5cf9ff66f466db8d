# SPDX-License-Identifier: MIT
"""`envring top`: what the workers of running vector envs and servers do."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from envring.pool.publishing import VARIABLE
from envring.top import reading, screen
from envring.top.reading import Look
from envring.transport import published

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

_NOTHING = (
    "No process of this user has published its vector envs. Set {variable}=1 in the environment of "
    "the program or of `envring serve`, or call envs.publish()."
)


@click.command()
@click.option("--pid", type=int, help="only the vector envs of this process")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="seconds between two looks",
)
@click.option("--once", is_flag=True, help="look for one interval, print and end")
@click.option("--json", "as_json", is_flag=True, help="print a line of JSON per interval")
def top(pid: int | None, interval: float, once: bool, as_json: bool) -> None:
    """Show what the workers of running vector envs and servers do, until Ctrl-C.

    Per worker: steps of its envs per second, the share of time in which it stepped, waited and
    spun, its slowest env, how often it was started again (after deaths + as planned), and its
    memory. It shows what is published: by envs.publish(), or by a
    process with ENVRING_TOP=1 in its environment.
    """
    for path in published.stale():
        path.unlink(missing_ok=True)  # of processes that were killed
    every = _every(pid, interval)
    with contextlib.suppress(KeyboardInterrupt):
        if as_json:
            for looks in every:
                click.echo(json.dumps([screen.plain(look) for look in looks]))
                if once:
                    break
        elif once:
            looks = next(every)
            click.echo("\n".join(screen.lines(looks)) or _nothing(), err=not looks)
            if not looks:
                click.get_current_context().exit(1)
        elif sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
            _show_rich(every)
        else:
            for looks in every:
                if sys.stdout.isatty():
                    click.clear()
                click.echo("\n".join(screen.lines(looks)) or _nothing())


def _every(pid: int | None, interval: float) -> Iterator[list[Look]]:
    earlier = {look.name: look for look in reading.look(pid)}
    while True:
        time.sleep(interval)
        looks = reading.look(pid)
        yield screen.between(looks, earlier)
        earlier = {look.name: look for look in looks}


def _nothing() -> str:
    return _NOTHING.format(variable=VARIABLE)


def _show_rich(every: Iterator[list[Look]]) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(Text("..."), screen=True, auto_refresh=False) as live:
        for looks in every:
            live.update(tables(looks), refresh=True)


def tables(looks: Sequence[Look]) -> Group | Text:
    """The live view."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = []
    for look in looks:
        style = "red" if look.trouble or look.ended else "bold"
        parts.append(Text(screen.title(look), style=style))
        if look.stats is not None:
            table = Table(*screen.HEADER, box=None, pad_edge=True)
            for column in table.columns:
                column.justify = "right"
            for worker in look.stats.workers:
                ended = worker.pid in look.ended
                table.add_row(*screen.row(worker), style="red" if ended else None)
            parts.append(table)
    return Group(*parts) if parts else Text(_nothing())
