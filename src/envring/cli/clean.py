# SPDX-License-Identifier: MIT
"""`envring clean`: removes what killed processes have left."""

from __future__ import annotations

import click

from envring.prefixes import cache
from envring.transport import leftovers, published


@click.command()
@click.option("--dry-run", is_flag=True, help="only say what would be removed")
def clean(dry_run: bool) -> None:
    """Remove what killed processes have left: names in /dev/shm that nobody uses.

    Processes and other memory are never left: they end with the process that made them.
    """
    found = [*leftovers.find(), *published.stale()]
    for path in found:
        if not dry_run:
            path.unlink(missing_ok=True)
        click.echo(f"{'would remove' if dry_run else 'removed'} {path}")
    if not found:
        click.echo("There is nothing to remove.", err=True)
    left = [each.key for each in cache.entries() if each.state() in ("failed", "unfinished")]
    if left:
        click.echo(
            f"Prefixes that are not finished: {', '.join(left)}. `envring env clean` removes them.",
            err=True,
        )
