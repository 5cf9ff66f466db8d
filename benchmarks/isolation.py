# SPDX-License-Identifier: MIT
"""Envs in other interpreters against their goals, in one run: `python benchmarks/isolation.py`.

Every figure is a ratio (or a difference) within a round, in which each peer has one turn; the table
shows medians with quartiles. The exit status is 1 when a goal is missed. Prefixes are built first,
once, into the tests' cache.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from envring import Micromamba
from envring.bench.measuring import machine
from envring.bench.measuring.samples import QUIET
from envring.bench.measuring.stats import spread
from envring.cpus import allowed_cpus

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support import foreign_prefixes, local_channel  # noqa: E402
from support.foreign_prefixes import Recipe  # noqa: E402
from support.turns import (  # noqa: E402
    READY_SECONDS,
    Process,
    Rates,
    Turn,
    Verdict,
    free_port,
    quietest,
)

PEER = str(HERE / "support" / "isolation_peer.py")
BOX = f"{HERE / 'support' / 'isolation_env' / 'env_main.py'}:make"
CARTPOLE = "CartPole-v1"
RECIPES = {
    "gymnasium-0.29": Recipe("3.9", ("gymnasium==0.29.1", "numpy==1.26.4")),
    "portal-server": Recipe("3.9", ("gymnasium==0.29.1", "numpy==1.26.4", "portal-env==0.9.0")),
    "portal-client": Recipe("3.9", ("gymnasium==0.29.1", "numpy==1.26.4", "portal-env==0.9.0")),
}
CORES = 2
ROUNDS, SLICE_SECONDS, START_TRIALS = 11, 0.4, 9


def build(names: Sequence[str]) -> dict[str, str]:
    """Builds the prefixes; returns their paths."""
    for name in names:
        foreign_prefixes.RECIPES[name] = RECIPES[name]
    failed = foreign_prefixes.build_all(list(names))
    for name, error in failed.items():
        raise SystemExit(f"{name}: {error}")
    return {name: str(foreign_prefixes.place(name)) for name in names}


def commands(paths: dict[str, str], port: int) -> dict[str, list[str]]:
    """The commands that start the peers, in the order of their turns."""
    own = paths["gymnasium-0.29"]
    inside = [f"{own}/bin/python", "-s", PEER]
    here = [sys.executable, PEER]
    client = f"{paths['portal-client']}/bin/python"
    return {
        "bare x 64": [*inside, "bare", CARTPOLE, "64"],
        "ring x 64": [*here, "ring", CARTPOLE, own, "64"],
        "bare x 1": [*inside, "bare", CARTPOLE, "1"],
        "ring x 1": [*here, "single", CARTPOLE, own],
        "box, ring": [*here, "single", BOX, own],
        "box, portal": [client, "-s", PEER, "portal", "box", str(port)],
    }


def take_turns(rounds: int, seconds: float, advanced: Callable[[int], None]) -> Rates:
    """Measures every peer once a round."""
    paths = build(["gymnasium-0.29", "portal-server", "portal-client"])
    port = free_port()
    rates = Rates()
    with ExitStack() as stack:

        def started(argv: Sequence[str], frozen: bool = False) -> Process:
            process = Process(argv, frozen)
            stack.callback(process.close)
            return process

        script = BOX.partition(":")[0]
        server = started([f"{paths['portal-server']}/bin/python", "-s", script, str(port)], True)
        turns = {}
        for name, argv in commands(paths, port).items():
            portal = name == "box, portal"
            turns[name] = Turn((started(argv, portal),), (server,) if portal else ())
        second = started(commands(paths, port)["bare x 64"])
        turns["both bare x 64"] = Turn((*turns["bare x 64"].asked, second))
        for each in {each for turn in turns.values() for each in turn.asked}:
            each.ready()
        server.freeze()
        for number in range(rounds):
            for name, turn in turns.items():
                rate, outside = quietest(turn, seconds)
                rates.by_peer.setdefault(name, {})[number] = rate
                rates.outside.append(outside)
            advanced(number)
    return rates


def start_times(trials: int, advanced: Callable[[int], None]) -> dict[str, list[float]]:
    """Seconds until the first observation: with a cached spec, and with its prefix."""
    if local_channel.OWN not in local_channel.versions():
        raise SystemExit(f"a channel needs a CPython {local_channel.OWN} to copy: none found")
    folder = foreign_prefixes.cache() / "isolation"
    os.environ["ENVRING_CACHE"] = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "spec.yml"
    lines = ["name: isolation", "channels:", f"  - {local_channel.build()}", "dependencies:"]
    lines += [f"  - python={local_channel.OWN}", "  - numpy", "  - gymnasium"]
    spec.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _, ready = Micromamba(str(spec)).obtain()
    launchers = {"spec": f"micromamba:{spec}", "prefix": f"prefix:{ready.prefix}"}
    times: dict[str, list[float]] = {name: [] for name in launchers}
    for number in range(trials + 1):
        for name in sorted(launchers, reverse=bool(number % 2)):
            process = Process([sys.executable, PEER, "start", CARTPOLE, launchers[name]])
            try:
                process.answer(READY_SECONDS)
                seconds = process.ask("go")["seconds"]
            finally:
                process.close()
            if number:  # the first ones fill the system's caches
                times[name].append(seconds)
        advanced(number)
    return times


def judge(rates: Rates | None, times: dict[str, list[float]] | None) -> Iterator[Verdict]:
    """A verdict for each figure."""
    if rates is not None:
        ceiling = "of 2 x the bare loop, 64 CartPoles, 2 workers (Python 3.9)"
        yield Verdict(ceiling, rates.ratio("ring x 64", "bare x 64", CORES), goal=0.75)
        together = "of two bare loops that run at the same time"
        yield Verdict(together, rates.ratio("ring x 64", "both bare x 64"))
        one = "of the bare loop, one env step by step"
        yield Verdict(one, rates.ratio("ring x 1", "bare x 1"), goal=0.4)
        peer = "Portal-Env 0.9.0, one env step by step"
        yield Verdict(peer, rates.ratio("box, ring", "box, portal"), "x", 50.0)
    if times is not None:
        pairs = zip(times["spec"], times["prefix"], strict=True)
        added = spread((spec - prefix) * 1000 for spec, prefix in pairs)
        yield Verdict("added by a cached spec to a start", added, "ms", 50.0, at_most=True)
        yield Verdict("a start in the bare prefix", spread(t * 1000 for t in times["prefix"]), "ms")


def main() -> int:
    """Measures and prints a verdict for each goal; returns 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", help="of steps, start (default: both)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SLICE_SECONDS, help="of a slice")
    parser.add_argument("--trials", type=int, default=START_TRIALS, help="of the start")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample to this file")
    options = parser.parse_args()
    parts = options.parts or ["steps", "start"]
    if unknown := set(parts) - {"steps", "start"}:
        parser.error(f"no part {', '.join(sorted(unknown))}; choose from steps, start")
    os.sched_setaffinity(0, allowed_cpus()[:CORES])
    load = machine.load_average()

    def advanced(number: int) -> None:
        print(f"\rround {number + 1} ", end="", file=sys.stderr, flush=True)

    steps, start = "steps" in parts, "start" in parts
    rates = take_turns(options.rounds, options.seconds, advanced) if steps else None
    times = start_times(options.trials, advanced) if start else None
    print(file=sys.stderr)
    verdicts = list(judge(rates, times))
    for verdict in verdicts:
        print(verdict)
    for name, by_round in (rates.by_peer if rates is not None else {}).items():
        each = spread(by_round.values())
        if each is not None:
            print(f"{each.median:>12,.0f} steps/s ({each.low:,.0f} to {each.high:,.0f}) {name}")
    outside = spread(rates.outside) if rates is not None else None
    if outside is not None and outside.high > QUIET:
        print(f"disturbed: other programs held {outside.median:.2f} processors")
    print(f"load {load} to {machine.load_average()}")
    if options.json:
        goals = [asdict(each) | {"passed": each.passed} for each in verdicts]
        samples = {"rates": rates.by_peer if rates else {}, "seconds": times or {}}
        hardware = machine.describe()
        options.json.write_text(json.dumps({"goals": goals, "machine": hardware} | samples))
    return 0 if all(verdict.passed for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
