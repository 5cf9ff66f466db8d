# SPDX-License-Identifier: MIT
"""The micro-benchmarks against stored ratios: `python benchmarks/baseline.py compare`.

A baseline holds, for one class of machines, how many times as fast our side of each group was as
the others, in several runs. `store` makes one, on an otherwise idle machine; `compare` measures
again and says what has changed: what seems slower is measured twice more. The exit status of
`compare` is 1 when something is clearly slower, 2 when there is no baseline.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envring.bench.measuring import machine
from envring.bench.measuring.samples import QUIET
from support.verdicts import (
    MAY_LOSE,
    Run,
    Verdict,
    as_json,
    compare,
    from_json,
    joined,
    machine_class,
    read_run,
)

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "baselines"
FORMAT = 1
STORED_RUNS, MORE_RUNS = 5, 2
RUN_SECONDS = 1200.0
SLOW = ("-o", "faulthandler_timeout=300")  # no benchmark is stopped because others use the machine
UNKNOWN = 100.0  # an interval as wide as that says nothing


def run_pytest(tests: Sequence[str], arguments: Sequence[str]) -> Run:
    """Measures; pytest's dots go to the terminal.

    Raises:
        SystemExit: if a benchmark failed.
    """
    with tempfile.TemporaryDirectory(prefix="envring-bench-") as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", "-q", "--benchmark-quiet", *SLOW]
        command += [f"--benchmark-json={report}", *arguments, *tests]
        ended = subprocess.run(command, cwd=HERE.parent, timeout=RUN_SECONDS, check=False)
        if ended.returncode:
            sys.exit(f"the benchmarks failed (pytest ended with {ended.returncode})")
        return read_run(json.loads(report.read_text(encoding="utf-8")))


def read(path: Path) -> dict[str, Any]:
    """A baseline.

    Raises:
        ValueError: if it is of another format.
    """
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise ValueError(f"{path} is not a baseline of format {FORMAT}")
    return document


def store(options: argparse.Namespace, path: Path, hardware: Mapping[str, Any]) -> int:
    """Measures several times and writes the baseline; with `-k` other groups stay as they are."""
    before, runs = machine.load_average(), []
    for number in range(options.runs or STORED_RUNS):
        print(f"run {number + 1} of {options.runs or STORED_RUNS}", flush=True)
        runs.append(run_pytest([str(HERE)], options.arguments))
    kept = read(path)["ratios"] if options.keyword and path.exists() else {}
    outside = max(run.outside for run in runs)
    document = {
        "format": FORMAT,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": hardware,
        "load": {"before": before, "after": machine.load_average()},
        "outside": round(outside, 3),
        "ratios": kept | as_json(joined(run.ratios for run in runs)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"baseline: {path}")
    _tell_disturbed(outside)
    return 0


def check(options: argparse.Namespace, path: Path, hardware: Mapping[str, Any]) -> int:
    """Measures, and prints the old value, the new one and a verdict for each ratio."""
    if not path.exists():
        print(
            f"there is no baseline for machines like this one ({path.name}). Check out the state "
            "to compare with, leave the machine idle, and run: python benchmarks/baseline.py store",
            file=sys.stderr,
        )
        return 2
    document = read(path)
    then = from_json(document["ratios"])
    runs = [run_pytest([str(HERE)], options.arguments) for _ in range(options.runs or 1)]
    verdicts = compare(then, joined(run.ratios for run in runs))
    tests = runs[0].tests
    for _ in range(MORE_RUNS):
        suspects = [each.group for each in verdicts if each.suspect]
        if not suspects:
            break
        print(f"measuring again what seems slower: {'; '.join(suspects)}", flush=True)
        runs.append(
            run_pytest([each for group in suspects for each in tests[group]], options.slices)
        )
        verdicts = compare(then, joined(run.ratios for run in runs))
    show(verdicts)
    for each in sorted(tests.keys() - {group for group, _ in then}):
        print(f"not in the baseline: {each}")
    if not options.keyword:
        for each in sorted({group for group, _ in then} - tests.keys()):
            print(f"only in the baseline: {each}")
    changed = _versions(document["machine"], hardware)
    if changed:
        print(f"versions have changed: {', '.join(changed)}")
    _tell_disturbed(max(run.outside for run in runs))
    _tell_disturbed(document["outside"], "when the baseline was taken, ")
    lost = [each.group for each in verdicts if each.lost]
    print(f"clearly slower (by more than {MAY_LOSE:.0%}): {'; '.join(lost) or 'nothing'}")
    return 1 if lost else 0


def show(verdicts: Sequence[Verdict]) -> None:
    """Prints a line for each ratio; those that do not decide for their group are dim."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    table.add_column("group", no_wrap=True)
    table.add_column("against")
    for title in ("then", "now", "now / then", "95 % interval"):
        table.add_column(title, justify="right")
    table.add_column("verdict")
    for each in verdicts:
        table.add_row(
            each.group,
            each.base,
            f"{each.then.median:.3g}x",
            f"{each.now.median:.3g}x",
            f"{each.change.median:.2f}",
            f"{each.change.low:.2f} to {each.change.high:.2f}" if _says(each) else "unknown",
            each.text,
            style="bold red" if each.lost else None if each.decides else "dim",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _says(verdict: Verdict) -> bool:
    return verdict.change.high < UNKNOWN * verdict.change.low


def _versions(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    old, new = then["versions"], now["versions"]
    return [
        f"{name} {old.get(name)} then, {new.get(name)} now"
        for name in sorted(old.keys() | new.keys())
        if name != "envring" and old.get(name) != new.get(name)
    ]


def _tell_disturbed(outside: float, when: str = "") -> None:
    if outside > QUIET:
        print(f"disturbed: {when}up to {outside:.2f} processors were busy with other programs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Stores or compares; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("store", "compare"))
    parser.add_argument(
        "--runs", type=int, help=f"how often to run them (store: {STORED_RUNS}, compare: 1)"
    )
    parser.add_argument("-k", dest="keyword", help="only tests that match, as in pytest")
    parser.add_argument("--rounds", type=int, help="slices of each side in a run")
    parser.add_argument("--slice", type=float, help="seconds of a slice")
    parser.add_argument("--file", type=Path, help="the baseline (default: this machine's)")
    options = parser.parse_args(arguments)
    given = {"--rounds": options.rounds, "--slice": options.slice}
    options.slices = [f"{name}={value}" for name, value in given.items() if value is not None]
    options.arguments = options.slices + (["-k", options.keyword] if options.keyword else [])
    # so that pytest is stopped too
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    hardware = machine.describe()
    path = options.file or FOLDER / f"{machine_class(hardware)}.json"
    try:
        return (store if options.what == "store" else check)(options, path, hardware)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
