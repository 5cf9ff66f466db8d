# SPDX-License-Identifier: MIT
"""The command ``python -m envring.bench``."""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from envring.bench import machine, workloads
from envring.bench.cells import Cell, CellResult
from envring.bench.runner import run_cell

PEERS = ("envring", "async", "sync", "bare")
MARGIN_SECONDS = 4.0  # for closing, tables and the picture


def require_extra() -> None:
    """Leave with advice when rich or matplotlib is not installed.

    Raises:
        SystemExit: if one of them is missing.
    """
    missing = [name for name in ("rich", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"the benchmark needs {' and '.join(missing)}: pip install 'envring[bench]'")


def exit_on_signals() -> None:
    """Make Ctrl-C and SIGTERM unwind the stack quietly, so that no peer's process is left."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, frame: sys.exit(128 + number))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m envring.bench",
        description="Throughput of RingVectorEnv beside AsyncVectorEnv, SyncVectorEnv and a bare "
        "Python loop, interleaved in one run.",
    )
    parser.add_argument(
        "--workload",
        action="append",
        metavar="NAME",
        help=f"{', '.join(workloads.WORKLOADS)}, or module:callable that builds one env; "
        "may be given several times (default: cartpole and image)",
    )
    parser.add_argument(
        "--envs", type=int, default=64, help="number of envs (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, help="num_workers of RingVectorEnv (default: its own)"
    )
    parser.add_argument(
        "--seconds", type=float, help="time budget of the whole run (default: 45; with --quick 12)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few short slices: a look, not a measurement"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample to this file")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="PATH",
        default=Path("envring-throughput.png"),
        help="where to save the picture (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    options.workload = options.workload or ["cartpole", "image"]
    options.seconds = options.seconds or (12.0 if options.quick else 45.0)
    if options.envs < 1:
        parser.error("--envs must be at least 1")
    for name in options.workload:
        try:
            workloads.find(name)
        except ValueError as error:
            parser.error(str(error))
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, save the picture; returns 1 when a peer failed."""
    begun = time.monotonic()
    options = parse(arguments)
    require_extra()
    exit_on_signals()
    from rich.console import Console

    from envring.bench import plot, report

    rounds, slice_seconds = (3, 0.1) if options.quick else (9, 0.3)
    own = {} if options.workers is None else {"num_workers": options.workers}
    cells = [Cell.of(name, options.envs, PEERS, {"envring": own}) for name in options.workload]
    console = Console()
    hardware = machine.describe() | {"load_before": machine.load_average()}
    end = begun + options.seconds - MARGIN_SECONDS
    results: list[CellResult] = []
    with report.progress(console) as progress:
        task = progress.add_task("", total=len(cells) * rounds * len(PEERS))
        for index, cell in enumerate(cells):
            title = f"{cell.workload} x {cell.num_envs}"
            progress.update(task, description=title, refresh=True)
            share = max(2.0, (end - time.monotonic()) / (len(cells) - index))
            result = run_cell(
                cell,
                cores=hardware["cores_usable"],
                rounds=rounds,
                slice_seconds=slice_seconds,
                deadline=time.monotonic() + share,
                construct_seconds=share / 2,
                advanced=lambda: progress.update(task, advance=1, refresh=True),
            )
            results.append(result)
            progress.update(task, completed=(index + 1) * rounds * len(PEERS), refresh=True)
    hardware["load_after"] = machine.load_average()
    report.show(console, results, hardware)
    if options.json:
        report.write_json(options.json, results, hardware, num_workers=options.workers)
        console.print(f"samples: {options.json}", highlight=False)
    plot.draw(options.plot, results, hardware)
    console.print(f"picture: {options.plot}", highlight=False)
    return 1 if any(result.failures for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
