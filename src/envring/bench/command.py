# SPDX-License-Identifier: MIT
"""The commands `envring bench`, `envring bench compare` and `envring tune`; needs click.

What measures, prints or draws is imported only by the command that needs it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envring.bench.arguments import duration, many, number, one
from envring.bench.start import leaving_on_signals, require_extra

if TYPE_CHECKING:
    from envring.bench.measuring.results import Document
    from envring.bench.measuring.samples import CellResult
    from envring.bench.plan.cells import Cell

_PRESENT = click.Path(exists=True, dir_okay=False, path_type=Path)
_MATRICES = ("default", "quick", "full")
_COUNT = click.IntRange(min=1)


class _Bench(click.Group):
    """Runs `measure` unless the first argument names a subcommand."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if args and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        return measure.make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(cls=_Bench, context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Throughput beside other vector environments, in one run."""


def _workload(
    ctx: click.Context, param: click.Parameter, found: str | Sequence[str]
) -> str | Sequence[str]:
    """Refuse unknown workloads; modules of the current directory are found, as by `python -m`."""
    from envring.bench import workloads

    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    for name in [found] if isinstance(found, str) else found:
        try:
            workloads.find(name)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return found


def _peer(name: str) -> str:
    """Refuse unknown peers."""
    from envring.bench import peers

    if name != "all":
        try:
            peers.find(name)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return name


def _output(path: str) -> Path:
    """Refuse a file that cannot be written before anything is measured."""
    found = Path(path)
    if not found.parent.is_dir():
        raise click.BadParameter(f"there is no directory {str(found.parent)!r}")
    if found.is_dir() or not os.access(found if found.exists() else found.parent, os.W_OK):
        raise click.BadParameter(f"{path!r} cannot be written")
    return found


def _file(*names: str, help: str) -> Callable[[Any], Any]:
    """Make a click option for a file that will be written."""
    return click.option(*names, callback=one(_output), metavar="FILE", help=help)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`envring bench compare OLD NEW` compares the JSON files of two runs."
    " Put -- before a target that is named compare.",
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...", callback=_workload)
@click.option("--workload", "named", multiple=True, hidden=True, callback=_workload)
@click.option("--matrix", type=click.Choice(_MATRICES), help="which cells to measure if no "
              "target is given [default]")  # fmt: skip
@click.option("--quick", is_flag=True, help="few short slices: a quick look, not a measurement")
@click.option("--full", is_flag=True, help="every workload and size: half an hour")
@many("--peers", each=_peer, metavar="NAME,...", help="peers to measure, or all: every installed "
      "one; the bare loop is always added")  # fmt: skip
@click.option("--baseline", callback=one(_peer), metavar="NAME", help="the peer that the "
              "others are compared with [async]")  # fmt: skip
@many("--envs", each=number(1), metavar="N,...", help="numbers of envs [64]")
@many("--workers", each=number(0), metavar="N,...", help="numbers of workers, for the "
      "peers that accept one")  # fmt: skip
@many("--think", each=duration, metavar="TIME,...", help="how long the caller computes after "
      "each step, as a policy would: 0,300us [0]")  # fmt: skip
@many("--busy", each=number(0), metavar="N,...", help="numbers of other programs that compute "
      "meanwhile, as a learner or a data loader would: 0,2 [0]")  # fmt: skip
@click.option("--remotes", metavar="URL,...", help="also measure RingVectorEnv with envs on these "
              "hosts (see `envring serve`): a server is a peer like any other")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=1), help="time budget of the whole run")
@click.option("--rounds", type=_COUNT, help="slices of each peer, if time allows")
@click.option("--breakdown", is_flag=True, help="also measure where the time of a step goes")
@_file("--trace", help="write a trace of some batches, for "
              "Perfetto or chrome://tracing")  # fmt: skip
@_file("--json", "as_json", help="write every sample")
@_file("--plot", help="draw a picture")
@_file("--markdown", help="write tables in Markdown")
@click.option("--wide", is_flag=True, help="every column, even if the terminal is narrow")
@click.option("--list", "listed", is_flag=True, help="list peers and workloads, then exit")
def measure(
    targets: tuple[str, ...],
    named: tuple[str, ...],
    matrix: str | None,
    full: bool,
    listed: bool,
    **options: Any,
) -> None:
    """Measure env steps per second of RingVectorEnv beside other vector environments.

    TARGET is a workload of --list, the id of a registered env ("CartPole-v1",
    "package:Env-v0") or module:callable that builds one env. Without a TARGET, several workloads
    are measured. The exit status is 1 if a peer failed.
    """
    if listed:
        _list()
        return
    require_extra("rich", *(["matplotlib"] if options["plot"] else []))
    from envring.bench import run

    wish = run.Wish(
        targets=tuple(dict.fromkeys(targets + named)),
        matrix="full" if full else matrix,
        **options,
    )
    with leaving_on_signals():
        raise SystemExit(run.run(wish))


@bench.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("old", type=_PRESENT)
@click.argument("new", type=_PRESENT)
@_file("--markdown", help="write the table in Markdown")
def compare(old: Path, new: Path, markdown: Path | None) -> None:
    """Show what became faster or slower between two runs.

    OLD and NEW are files that --json wrote. Rates are compared as fractions of each run's own bare
    loop. Where the 95 % interval of new / old contains 1, the verdict is "no difference seen".
    """
    require_extra("rich")
    from rich.console import Console

    from envring.bench.reporting import compare as comparison
    from envring.bench.reporting import markdown as tables
    from envring.bench.reporting import terminal

    before, after = _document(old), _document(new)
    verdicts, warnings = comparison.compare(before, after), comparison.warnings(before, after)
    terminal.show_comparison(Console(), verdicts, warnings)
    if markdown:
        _write(markdown, tables.comparison(verdicts, warnings))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("target", callback=_workload)
@click.option("--envs", type=click.IntRange(min=1), help="envs in a batch [searched for]")
@click.option("--seconds", type=click.FloatRange(min=5), default=60.0, show_default=True,
              help="time budget")  # fmt: skip
@click.option("--think", callback=one(duration), default="0", metavar="TIME", help="how long the "
              "caller computes after each step, as a policy would: 300us")  # fmt: skip
@_file("--json", "as_json", help="write the result")
def tune(target: str, envs: int | None, seconds: float, think: float, as_json: Path | None) -> None:
    """Find the arguments of RingVectorEnv that suit an env on this machine.

    TARGET is the id of a registered env, module:callable that builds one env, or a workload of
    `envring bench --list`. Prints the line of code to paste, how certain it is, and what was tried.
    """
    require_extra("rich")
    from rich.console import Console

    from envring.bench.measuring import machine
    from envring.bench.reporting import terminal
    from envring.bench.tuning import advice, search

    console, cores = Console(), machine.describe()["cores_usable"]
    begun = time.monotonic()
    with leaving_on_signals(), terminal.progress(console) as progress:
        task = progress.add_task("", total=seconds)

        def tell(text: str) -> None:
            done = min(seconds, time.monotonic() - begun)
            progress.update(task, description=text, completed=done, refresh=True)

        def measure_cell(cell: Cell, seconds: float) -> CellResult:
            return search.measure_for(cell, seconds, cores=cores, advanced=advanced)

        def advanced() -> None:
            done = min(seconds, time.monotonic() - begun)
            progress.update(task, completed=done, refresh=True)

        found = search.Search(
            target, envs, think=think, cores=cores, measure=measure_cell, tell=tell
        )
        try:
            outcome = found.run(seconds)
        except search.NothingMeasured as error:
            raise click.ClickException(f"{target} could not be measured: {error}") from error
        progress.update(task, completed=seconds, refresh=True)
    advice.show(console, outcome)
    if as_json:
        document = {"format": 2, "kind": "tune", "machine": machine.describe()}
        _write(as_json, json.dumps(document | outcome.as_json(), indent=1) + "\n")


def _document(path: Path) -> Document:
    from envring.bench.measuring import results

    try:
        return results.read(path)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path} cannot be compared: {error}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error


def _list() -> None:
    """Print peers with their versions, or how to install them, and workloads."""
    from envring.bench import peers, workloads

    click.echo("peers:")
    for name, adapter in peers.adapters().items():
        version = peers.installed(adapter)
        note = f" ({adapter.note})" if adapter.note else ""
        state = f"{version}{note}" if version else f"absent: pip install {adapter.requirement}"
        click.echo(f"  {name:17} {adapter.title:35} {state}")
    click.echo("workloads:")
    for name, workload in workloads.WORKLOADS.items():
        state = "" if workload.absent is None else f" (absent: {workload.absent})"
        click.echo(f"  {name:17} {workload.about or workload.title}{state}")
