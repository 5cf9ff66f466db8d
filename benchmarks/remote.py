# SPDX-License-Identifier: MIT
"""Envs on other hosts against their goals, in one run: `python benchmarks/remote.py`.

All hosts are on this machine, so that nothing but the software is measured; a network that takes
time is a proxy. Each peer has one turn in a round, figures are ratios within rounds, and the table
shows medians with quartiles. The exit status is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from envring.bench.measuring import machine
from envring.bench.measuring.samples import QUIET
from envring.bench.measuring.stats import spread
from envring.bench.reporting import wording
from envring.cpus import allowed_cpus

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support import foreign_prefixes  # noqa: E402
from support.foreign_prefixes import Recipe  # noqa: E402
from support.turns import (  # noqa: E402
    READY_SECONDS,
    PeerFailed,
    Process,
    Rates,
    Turn,
    Verdict,
    free_port,
    quietest,
)

if TYPE_CHECKING:
    from support.ray_nodes import RayNodes

PEER = str(HERE / "support" / "remote_peer.py")
CARTPOLE = "CartPole-v1"
WORK_SECONDS = 100e-6
WORK = f"envring.bench.workloads.synthetic:SpinEnv {WORK_SECONDS}"
NULL = "envring.bench.workloads.synthetic:NullEnv"
IMAGE = "envring.bench.workloads.synthetic:ImageEnv"
CORES = 2
ROUNDS, SLICE_SECONDS = 11, 0.4
DELAY = 0.001  # seconds, each way
HOSTS, WORK_ENVS = 2, 64  # of the row with a delay: one worker on each host
REMOTE_GYM = "remote-gym 0.7.3, its threads"
OPENENV = "OpenEnv 0.3.0"


def sizes(num_envs: int, observation: int) -> tuple[str, str]:
    """Bytes of a batch of int64 actions and of its answer, as docs/wire.md has them."""
    return str(28 + 8 * num_envs), str(24 + num_envs * (observation + 8 + 1 + 1))


@dataclass
class Bench:
    """What runs for a row, until the row is over.

    Attributes:
        stack: ends it.
        ray: the cluster of the row, if it has one.
        failures: why peers are not measured, by name.
        niceness: of what Ray starts.
    """

    stack: ExitStack
    niceness: int = 0
    ray: RayNodes | None = None
    failures: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, python: str = sys.executable) -> Process:
        """A process of `remote_peer.py`."""
        made = Process([python, "-s", PEER, *arguments])
        self.stack.callback(made.close)
        return made

    def serve(self, *arguments: str, python: str = sys.executable) -> tuple[Process, str]:
        """A server and where it is."""
        made = self.start(*arguments, python=python)
        url = str(made.answer(READY_SECONDS)["url"])
        return made, url

    def nodes(self) -> RayNodes:
        """Two Ray nodes, with as many CPUs in all as the peers of a row ask for."""
        if self.ray is None:
            if importlib.util.find_spec("ray") is None:
                raise PeerFailed("ray is not installed: pip install 'envring[ray]'")
            from support.ray_nodes import RayNodes

            self.ray = RayNodes(4, self.niceness)
            self.stack.callback(self.ray.end)
        return self.ray

    def turn(self, asked: Process, *serving: Process) -> Turn:
        """A peer that is ready to take turns."""
        asked.ready()
        for each in serving:
            each.family = machine.family(each.process.pid)
        return Turn((asked,), serving)

    @contextmanager
    def reported(self, name: str) -> Iterator[None]:
        """Notes why a peer cannot take part, and goes on without it."""
        try:
            yield
        except (PeerFailed, foreign_prefixes.BuildFailed) as error:
            self.failures[name] = str(error)


Turns = dict[str, Turn]


def interpreter(name: str) -> str:
    """An interpreter with the packages of `peers-NAME.txt` and nothing else.

    Raises:
        BuildFailed: they cannot be installed.
    """
    lines = (HERE / f"peers-{name}.txt").read_text(encoding="utf-8").splitlines()
    packages = tuple(line for line in lines if line and not line.startswith("#"))
    foreign_prefixes.RECIPES[name] = Recipe("3.11", packages)
    return str(foreign_prefixes.build(name) / "bin/python")


def one(bench: Bench) -> Turns:
    """One env, step by step, and a bare exchange of as many bytes.

    What an env takes is not the connection's cost: the goal is for one that does nothing.
    """
    made = {}
    for name, env in (("nothing", NULL), ("CartPole", CARTPOLE)):
        host, url = bench.serve("host", env)
        made[name] = bench.turn(bench.start("single", env, url), host)
    pong, where = bench.serve("pong", *sizes(1, 16))
    return made | {"ping": bench.turn(bench.start("ping", where, *sizes(1, 16)), pong)}


def judge_one(rates: Rates) -> Iterator[Verdict]:
    what = "of a bare TCP exchange of the same bytes"
    yield Verdict(f"an env that does nothing, {what}", rates.ratio("nothing", "ping"), "", 0.5)
    yield Verdict(f"CartPole, {what}", rates.ratio("CartPole", "ping"), "")


def cartpoles(bench: Bench) -> Turns:
    """64 CartPoles with two workers, on a host and here."""
    host, url = bench.serve("host", CARTPOLE)
    return {
        "on a host": bench.turn(bench.start("ring", CARTPOLE, "64", "2", url), host),
        "here": bench.turn(bench.start("ring", CARTPOLE, "64", "2")),
    }


def judge_cartpoles(rates: Rates) -> Iterator[Verdict]:
    yield Verdict("of local envs with as many workers", rates.ratio("on a host", "here"), "", 0.65)


def images(bench: Bench) -> Turns:
    """64 images, and a bare exchange of as many bytes."""
    host, url = bench.serve("host", IMAGE)
    pong, where = bench.serve("pong", *sizes(64, 84 * 84 * 4))
    return {
        "envring": bench.turn(bench.start("ring", IMAGE, "64", "2", url), host),
        "ping": bench.turn(bench.start("ping", where, *sizes(64, 84 * 84 * 4)), pong),
    }


def judge_images(rates: Rates) -> Iterator[Verdict]:
    yield Verdict("of what the loopback moves", rates.ratio("envring", "ping"), "", 0.5)


def delayed(bench: Bench) -> Turns:
    """Envs on two hosts over a network that takes time, and a bare exchange over such a one."""
    each = WORK_ENVS // HOSTS
    serving, urls = [], []
    for _ in range(HOSTS):
        host, url = bench.serve("host", WORK.partition(" ")[0])
        proxy, through = bench.serve("proxy", url, str(DELAY))
        serving += [host, proxy]
        urls.append(through)
    pong, where = bench.serve("pong", *sizes(each, 16))
    proxy, through = bench.serve("proxy", where, str(DELAY))
    ring = bench.start("ring", WORK, str(WORK_ENVS), "1", ",".join(urls))
    loops = [bench.start("bare", WORK, str(each)) for _ in range(HOSTS)]
    for loop in loops:
        loop.ready()
    return {
        "envring": bench.turn(ring, *serving),
        "bare": Turn(tuple(loops)),
        "ping": bench.turn(bench.start("ping", through, *sizes(each, 16)), pong, proxy),
    }


def judge_delayed(rates: Rates) -> Iterator[Verdict]:
    ours, ping, bare = (rates.by_peer[name] for name in ("envring", "ping", "bare"))
    print(
        f"delay: a batch takes at least a bare exchange through the same delay, {DELAY * 1e3:g} ms "
        f"each way, and {WORK_ENVS // HOSTS} steps of {WORK_SECONDS * 1e6:g} us in a bare loop, "
        f"{HOSTS} of which run at once"
    )
    rounds = ours.keys() & ping.keys() & bare.keys()
    allowed = {n: 1 / ping[n] + HOSTS / bare[n] for n in rounds}
    yield Verdict("ms, a batch", spread(1e3 / rate for rate in ours.values()))
    yield Verdict("ms, a bare exchange", spread(1e3 / rate for rate in ping.values()))
    yield Verdict("ms, a bare loop", spread(1e3 * HOSTS / rate for rate in bare.values()))
    yield Verdict(
        "of what delay and work allow", spread(ours[n] * allowed[n] for n in rounds), "", 0.9
    )
    nominal = 2 * DELAY + WORK_ENVS / HOSTS * WORK_SECONDS
    yield Verdict(
        f"of what they would allow if they took exactly {nominal * 1e3:g} ms",
        spread(rate * nominal for rate in ours.values()),
    )


def peers(bench: Bench) -> Turns:
    """One env, step by step, by us and by others."""
    host, url = bench.serve("host", CARTPOLE)
    turns = {"envring": bench.turn(bench.start("single", CARTPOLE, url), host)}
    for name, key in ((REMOTE_GYM, "remote-gym"), (OPENENV, "openenv")):
        with bench.reported(name):
            python, port = interpreter(key), str(free_port())
            server, _ = bench.serve(f"{key}-server", port, python=python)
            turns[name] = bench.turn(bench.start(key, port, python=python), server)
    with bench.reported("a Ray actor"):
        turns["a Ray actor"] = bench.turn(bench.start("actor", bench.nodes().address))
    return turns


def judge_peers(rates: Rates) -> Iterator[Verdict]:
    for name in (REMOTE_GYM, OPENENV, "a Ray actor"):
        if name in rates.by_peer:
            yield Verdict(f"{name}, one env step by step", rates.ratio("envring", name), "x")


def cluster(bench: Bench) -> Turns:
    """Vector envs on two hosts that Ray started, on two started by hand, and in actors."""
    hosts = [bench.serve("host", CARTPOLE) for _ in range(HOSTS)]
    by_hand = ",".join(url for _, url in hosts)
    address = bench.nodes().address
    by_ray = f"ray://{address}?n={HOSTS}&cpus=1&insecure=1"  # without TLS, as by hand
    serving = [process for process, _ in hosts]
    turns = {}
    for num_envs in (64, 8):
        ring = ("ring", CARTPOLE, str(HOSTS * num_envs), "1")
        turns[f"by Ray, 2 x {num_envs}"] = bench.turn(bench.start(*ring, by_ray))
        turns[f"by hand, 2 x {num_envs}"] = bench.turn(bench.start(*ring, by_hand), *serving)
    turns["actors, 2 x 8"] = bench.turn(bench.start("actors", address, str(HOSTS), "8"))
    return turns


def judge_cluster(rates: Rates) -> Iterator[Verdict]:
    for num_envs, goal in ((64, 0.9), (8, None)):
        both = (f"by Ray, 2 x {num_envs}", f"by hand, 2 x {num_envs}")
        what = f"of two hosts started by hand, 2 x {num_envs} CartPoles"
        yield Verdict(what, rates.ratio(*both), "", goal)
    what = "the batches of two Ray actors with 8 envs each"
    yield Verdict(f"{what}, 2 x 8", rates.ratio("by Ray, 2 x 8", "actors, 2 x 8"), "x", 4.0)
    more = rates.ratio("by Ray, 2 x 64", "actors, 2 x 8")
    yield Verdict(f"{what}, with 8 times as many envs", more, "x")


@dataclass(frozen=True)
class Row:
    """What a row builds, what it says of the rates, and how much longer its slices are."""

    build: Callable[[Bench], Turns]
    judge: Callable[[Rates], Iterator[Verdict]]
    slices: float = 1.0


ROWS = {
    "one": Row(one, judge_one),
    "cartpole-64": Row(cartpoles, judge_cartpoles),
    "image-64": Row(images, judge_images),
    # six processes, of which each has to find a core again after the turns of others
    "delay": Row(delayed, judge_delayed, slices=5.0),
    "peers": Row(peers, judge_peers),
    "ray": Row(cluster, judge_cluster),
}


def measure(
    row: Row, options: argparse.Namespace, advanced: Callable[[int], None]
) -> tuple[Rates, dict[str, str]]:
    """The rates of a row's peers, and why one has none."""
    rates = Rates()
    with ExitStack() as stack:
        bench = Bench(stack, options.niceness)
        turns = row.build(bench)
        beside = set(bench.ray.pids()) if bench.ray is not None else set()
        for number in range(options.rounds):
            for name, turn in turns.items():
                rate, outside = quietest(turn, row.slices * options.seconds, beside)
                rates.by_peer.setdefault(name, {})[number] = rate
                rates.outside.append(outside)
            advanced(number)
    return rates, bench.failures


def show(
    name: str, row: Row, rates: Rates, verdicts: Sequence[Verdict], failures: dict[str, str]
) -> None:
    """Prints a row."""
    print(f"\n{name}: {(row.build.__doc__ or '').strip()}")
    for verdict in verdicts:
        print(f"  {verdict}")
    for peer, by_round in rates.by_peer.items():
        each = spread(by_round.values())
        if each is not None:
            print(f"  {each.median:>12,.0f} steps/s ({each.low:,.0f} to {each.high:,.0f}) {peer}")
    for peer, error in failures.items():
        print(f"  {peer}: not measured: {error}")
    outside = spread(rates.outside)
    if outside is not None and outside.high > QUIET:
        print(f"  disturbed: other programs held {outside.median:.2f} processors")


def main(rows: Mapping[str, Row] = ROWS, what: str | None = __doc__) -> int:
    """Measures and prints a verdict for each goal; returns 1 if one is missed."""
    parser = argparse.ArgumentParser(description=what.splitlines()[0] if what else None)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SLICE_SECONDS, help="of a slice")
    parser.add_argument("--niceness", type=int, default=0, help="of Ray's actors; its own is 15")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample to this file")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(rows):
        parser.error(f"no row {', '.join(sorted(unknown))}; choose from {', '.join(rows)}")
    os.sched_setaffinity(0, allowed_cpus()[:CORES])
    load = machine.load_average()
    found: dict[str, object] = {}
    passed = True
    for name in options.rows or rows:

        def advanced(number: int, name: str = name) -> None:
            print(f"\r{name}, round {number + 1} ", end="", file=sys.stderr, flush=True)

        rates, failures = measure(rows[name], options, advanced)
        verdicts = list(rows[name].judge(rates))
        print(file=sys.stderr)
        show(name, rows[name], rates, verdicts, failures)
        passed = passed and all(verdict.passed for verdict in verdicts)
        found[name] = {
            "figures": [asdict(each) | {"passed": each.passed} for each in verdicts],
            "rates": rates.by_peer,
            "outside": rates.outside,
            "failures": failures,
        }
    hardware = machine.describe()
    with suppress(metadata.PackageNotFoundError):
        hardware["versions"]["ray"] = metadata.version("ray")
    print(f"\n{wording.machine_line(hardware)}\nload {load} to {machine.load_average()}")
    if options.json:
        document = {"rows": found, "machine": hardware, "load": load}
        options.json.write_text(json.dumps(document))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
