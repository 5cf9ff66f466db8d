# SPDX-License-Identifier: MIT
"""`envring env`: build, list and remove the cached prefixes."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from envring.errors import EnvringError
from envring.launchers.directories import SCHEMES, launcher_of
from envring.launchers.micromamba import SURROUNDINGS, Micromamba
from envring.prefixes import build, cache, packages, recipes
from envring.prefixes.cache import Entry, Ready
from envring.prefixes.freeze import freeze
from envring.prefixes.progress import Progress
from envring.prefixes.solvers import NAMES
from envring.prefixes.spec import this_platform

_REMOVE_SECONDS = 60.0


@click.group()
def env() -> None:
    """Interpreters built from conda specs and kept in a cache."""


def _launcher(file: str, setup: str | None, solver: str | None) -> Micromamba:
    """Returns the launcher of a spec, an env directory or a recipe."""
    if file.startswith(SCHEMES) or os.path.isdir(file):
        if setup is not None:
            raise click.UsageError(
                "--setup does not go with an env directory: its setup file is env_setup.py"
            )
        return launcher_of(file, solver=solver)
    return Micromamba(file, setup=setup, solver=solver)


@env.command()
@click.option("-f", "--file", required=True, metavar="FILE", help="spec.yml, an explicit lockfile, "
              "an env directory, or recipe:NAME")  # fmt: skip
@click.option("--setup", metavar="FILE", help="Python file to run once in the finished prefix")
@click.option("--solver", metavar="NAME", help=f"{', '.join(NAMES)}, or a path")
@click.option("--force", is_flag=True, help="build again even if it is built, "
              "and compare cached packages first")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="no progress on stderr")
def create(file: str, setup: str | None, solver: str | None, force: bool, quiet: bool) -> None:
    """Build the prefix of a spec, unless it is built, and print its path."""
    launcher = _launcher(file, setup, solver)
    click.echo(build_prefix(launcher, force, quiet).prefix)


@env.command("build")
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="all recipes that come with this package")
@click.option("--solver", metavar="NAME", help=f"{', '.join(NAMES)}, or a path")
@click.option("--force", is_flag=True, help="build again even if it is built")
@click.option("-q", "--quiet", is_flag=True, help="no progress on stderr")
def build_(names: Sequence[str], every: bool, solver: str | None, force: bool, quiet: bool) -> None:
    """Build recipes, env directories or specs, by name or path, and print their prefixes."""
    if bool(names) == every:
        raise click.UsageError("name what to build, or pass --all")
    failed = []
    for name in [each.name for each in recipes.available()] if every else names:
        try:
            known = os.path.exists(name) or name.startswith(SCHEMES)
            launcher = _launcher(name if known else f"recipe:{name}", None, solver)
            click.echo(f"{name}: {build_prefix(launcher, force, quiet).prefix}")
        except EnvringError as error:
            click.echo(f"{name}: {error}", err=True)
            failed.append(name)
    if failed:
        raise click.ClickException(f"These could not be built: {', '.join(failed)}.")


def build_prefix(launcher: Micromamba, force: bool, quiet: bool = False) -> Ready:
    """Builds the prefix of a launcher, unless it is built."""
    request = launcher.request()
    if force:
        request = dataclasses.replace(request, anew=True)
        for name in NAMES:
            old = request.entry(name)
            if old.directory.exists():
                _remove(old)
    progress = Progress(request.spec.name, quiet=quiet)
    return build.obtain(request, SURROUNDINGS, progress)[1]


@env.command("list")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_(as_json: bool) -> None:
    """List the prefixes in the cache."""
    rows = [_describe(entry) for entry in cache.entries()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif rows:
        _table(
            ["NAME", "STATE", "PYTHON", "SOLVER", "MB", "BUILT"],
            [
                [
                    row["key"],
                    row["state"],
                    row.get("python", ""),
                    row.get("solver", ""),
                    f"{row['bytes'] / 1e6:.0f}",
                    row.get("built", ""),
                ]
                for row in rows
            ],
        )
    else:
        click.echo(f"There are no prefixes in {cache.root()}.", err=True)


@env.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def show(name: str, as_json: bool) -> None:
    """Show the details of a prefix: its packages, variables and log."""
    entry = _one(name)
    row = _describe(entry)
    if row["state"] == "ready":
        frozen = freeze(row["name"], entry.prefix)
        row["conda packages"] = [f"{each.name} {each.version}" for each in frozen.conda]
        row["pip packages"] = [f"{each.name} {each.version}" for each in frozen.pip]
        plain, inside = SURROUNDINGS.clean(), _activated(entry)
        row["variables"] = {
            key: value for key, value in sorted(inside.items()) if plain.get(key) != value
        }
    if as_json:
        click.echo(json.dumps(row, indent=1))
        return
    for key, value in row.items():
        if isinstance(value, dict):
            value = [f"{inner}={text}" for inner, text in value.items()]
        if isinstance(value, list):
            click.echo(f"{key}:" + ("" if value else " none"))
            for item in value:
                click.echo(f"  {item}")
        else:
            click.echo(f"{key}: {value}")


@env.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="all prefixes in the cache")
def remove(names: Sequence[str], every: bool) -> None:
    """Remove prefixes."""
    if bool(names) == every:
        raise click.UsageError("name the prefixes to remove, or pass --all")
    for entry in list(cache.entries()) if every else [_one(name) for name in names]:
        _remove(entry)
        click.echo(f"removed {entry.key}", err=True)


@env.command()
def clean() -> None:
    """Delete downloaded packages and what failed builds left; prefixes stay."""
    if any(entry.state() == "building" for entry in cache.entries()):
        raise click.ClickException("A prefix is being built: try again when it is ready.")
    before = cache.size(cache.root())
    for entry in cache.entries():
        if entry.state() in ("failed", "unfinished"):
            _remove(entry)
    packages.clean()
    freed = before - cache.size(cache.root())
    click.echo(f"freed {freed / 1e6:.0f} MB in {cache.root()}", err=True)


@env.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND [ARGUMENT]...")
def run(name: str, argv: tuple[str, ...]) -> None:
    """Run a command in a prefix. NAME is its name, or the file of its spec."""
    if argv[:1] == ("--",):
        argv = argv[1:]
    if not argv:
        raise click.UsageError("name a command, for example python")
    if os.path.exists(name) or name.startswith("recipe:"):
        entry, _ = _launcher(name, None, None).obtain()
    else:
        entry, _ = _ready(_one(name))
    _become(list(argv), _activated(entry))


def _become(argv: list[str], environ: dict[str, str]) -> NoReturn:
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as error:
        raise click.ClickException(f"{argv[0]!r} cannot be run: {error.strerror}") from error


@env.command("freeze")
@click.argument("name")
@click.option("--explicit", is_flag=True, help="a lockfile of conda's packages, without pip's")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="file to write")
def freeze_(name: str, explicit: bool, output: Path | None) -> None:
    """Write a spec with the exact versions of a prefix's packages."""
    entry, ready = _ready(_one(name))
    frozen = freeze(ready.name, entry.prefix)
    if explicit and not frozen.conda:
        raise click.ClickException(f"{entry.key} holds no conda packages: omit --explicit")
    if explicit and frozen.pip:
        left_out = ", ".join(each.name for each in frozen.pip)
        click.echo(f"The lockfile omits what pip installed: {left_out}.", err=True)
    text = frozen.explicit(this_platform()) if explicit else frozen.text()
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


@env.command("recipes")
def recipes_() -> None:
    """List the env directories that come with this package."""
    _table(
        ["NAME", "TESTED", "WHAT", "EXAMPLE"],
        [
            [each.name, "yes" if each.tested else "untested", each.title, each.example]
            for each in recipes.available()
        ],
    )


def _describe(entry: Entry) -> dict[str, Any]:
    ready = entry.ready()
    row: dict[str, Any] = {"key": entry.key, "state": entry.state()}
    if ready:
        row |= {
            "name": ready.name,
            "prefix": ready.prefix,
            "python": ready.python,
            "solver": ready.solver,
            "spec": ready.spec,
            "setup": ready.setup,
            "built": time.strftime("%Y-%m-%d %H:%M", time.localtime(ready.created)),
            "seconds": ready.seconds,
        }
    return row | {"log": str(entry.log), "bytes": cache.size(entry.directory)}


def _activated(entry: Entry) -> dict[str, str]:
    return SURROUNDINGS.activated(str(entry.prefix), str(entry.directory))


def _one(name: str) -> Entry:
    found = cache.find(name)
    if not found:
        present = ", ".join(each.key for each in cache.entries()) or "none"
        raise click.ClickException(
            f"There is no prefix {name!r} in {cache.root()}. It holds: {present}."
        )
    if len(found) > 1:
        keys = ", ".join(each.key for each in found)
        raise click.ClickException(f"{name!r} matches several prefixes: {keys}. Name one of them.")
    return found[0]


def _ready(entry: Entry) -> tuple[Entry, Ready]:
    ready = entry.ready()
    if ready is None:
        raise click.ClickException(
            f"{entry.key} is not ready: its state is {entry.state()}; log: {entry.log}"
        )
    return entry, ready


def _remove(entry: Entry) -> None:
    try:
        entry.remove(time.monotonic() + _REMOVE_SECONDS)
    except TimeoutError as error:
        raise click.ClickException(f"{entry.key} is being built: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{entry.key} cannot be removed: {error}") from error


def _table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
