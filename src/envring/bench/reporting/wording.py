# SPDX-License-Identifier: MIT
"""Words and columns for figures, cells and peers; tables and pictures share them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import QUIET, CellResult, Footprint
from envring.bench.measuring.stats import Interval, Spread, spread
from envring.bench.peers import adapters
from envring.bench.plan.cells import BARE, BARE_ALL, Cell
from envring.bench.workloads import WORKLOADS

MISSING = "-"
_UNSURE = 30.0  # an interval is "unsure" if its ends are so many times apart
LEGEND = (
    "95 %: confidence interval of the median. cores: processors in use. switches: context switches "
    "per 1000 env steps. memory: of all processes, shared pages counted once. start, close: time "
    "for the whole vector env, without imports."
)
_MOVED = ("image", "image210")
PARTS = {
    "env": "env code",
    "imbalance": "waiting for slower workers",
    "copying": "copying",
    "signalling": "signalling",
    "waiting": "waiting to run",
    "caller": "caller",
    "unattributed": "unattributed",
}


def short(value: float) -> str:
    """Three significant figures with a unit: 1234567 becomes '1.23 M'."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit * 0.9995:
            figures = ".3g" if value < limit * 999.5 else ".0f"
            return f"{value / limit:{figures}}{unit}"
    return f"{value:.3g}"


def between(low: float, high: float) -> str:
    """A range such as '127 to 130 k', the unit once where both share it."""
    first, second = short(low), short(high)
    if first == second:
        return first
    number, _, unit = first.partition(" ")
    return f"{number if second.endswith(' ' + unit) else first} to {second}"


def times(found: Spread | Interval | None) -> str:
    """A ratio such as '27.1x'."""
    if found is None:
        return MISSING
    return f"{found.median:.3g}x" if found.median < 999.5 else f"{found.median:.0f}x"


def fraction(found: Spread | Interval | None) -> str:
    """A fraction such as '0.76'; a small one gets two significant figures."""
    if found is None:
        return MISSING
    return f"{found.median:.2f}" if found.median >= 0.095 else f"{found.median:.2g}"


def rate(found: Spread | Interval | None) -> str:
    """Env steps per second such as '278 k'."""
    return MISSING if found is None else short(found.median)


def reach(found: Interval | None) -> str:
    """The ends of an interval such as '25.9 to 28.3'."""
    if found is None:
        return MISSING
    # One round alone has no interval.
    return between(found.low, found.high) if found.count > 1 else MISSING


def ratio_reach(found: Interval | None) -> str:
    """The ends of a ratio's interval with trailing zeros, such as '0.980 to 1.00'."""
    if found is None or found.count < 2:
        return MISSING
    if found.high > _UNSURE * found.low:
        return "unsure"
    ends = (found.low, found.high)
    return " to ".join(f"{each:#.3g}" if each < 99.95 else f"{each:.0f}" for each in ends)


def duration(seconds: float | None) -> str:
    """A time such as '1.2 s', '20 ms' or '7.6 us'."""
    if seconds is None:
        return MISSING
    for limit, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= limit * 0.9995:
            return f"{seconds / limit:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def size(count: int | None) -> str:
    """Bytes as '312 MB'."""
    if count is None:
        return MISSING
    return f"{count / 1e6:.0f} MB" if count < 0.9995e9 else f"{count / 1e9:.3g} GB"


def heading(cell: Cell) -> str:
    """What was measured, in a few words."""
    known = WORKLOADS.get(cell.workload)  # not find: a caller's own env need not be importable here
    title = known.title if known else cell.workload
    parts = [f"{title} x {cell.num_envs} env{'s' if cell.num_envs != 1 else ''}"]
    if cell.num_workers is not None:
        parts.append(f"{cell.num_workers} worker{'s' if cell.num_workers != 1 else ''}")
    if cell.think:
        parts.append(f"the caller busy {duration(cell.think)} after each step")
    if cell.busy:
        parts.append(f"{cell.busy} other program{'s' if cell.busy != 1 else ''} computing")
    return ", ".join(parts)


def peer_title(cell: Cell, label: str) -> str:
    """A contestant's name in tables: its adapter's title, or its label if that is its own."""
    for each in cell.contestants:
        if each.label == label and each.peer == label and label in adapters():
            return adapters()[label].title
    return label


def brief(label: str) -> str:
    """The name of a peer in the heading of a column: 'Async' for AsyncVectorEnv."""
    known = adapters().get(label)
    plain = known is not None and known.title.endswith("VectorEnv") and " " not in known.title
    return known.title.removesuffix("VectorEnv") if known is not None and plain else label


def steps_python(label: str) -> bool:
    """Whether a peer steps Python envs through a vector env, as envring does: no loop, no C++."""
    known = adapters().get(label)
    return known is None or known.where in ("process", "workers")


@dataclass(frozen=True)
class Column:
    """One column of a cell's table.

    Attributes:
        title: Its heading.
        text: Its text for a contestant.
        wide: Whether only wide tables show it.
    """

    title: str
    text: Callable[[CellResult, str], str]
    wide: bool = False


def _footprint(
    write: Callable[[Footprint], str],
) -> Callable[[CellResult, str], str]:
    def text(result: CellResult, peer: str) -> str:
        found = result.footprints.get(peer)
        return MISSING if found is None else write(found)

    return text


def _latency(name: str) -> Callable[[CellResult, str], str]:
    def text(result: CellResult, peer: str) -> str:
        found = (result.latency(peer) or {}).get(name)
        return MISSING if found is None else duration(found.median)

    return text


def _ratio(base: str, wide: bool = False) -> Iterable[Column]:
    def ratio(result: CellResult, peer: str) -> str:
        return times(result.ratio_interval(peer, base))

    def ends(result: CellResult, peer: str) -> str:
        return MISSING if peer == base else ratio_reach(result.ratio_interval(peer, base))

    yield Column(f"x {brief(base)}", ratio)
    yield Column("95 %", ends, wide)


def _rounded(find: Callable[[CellResult, str], Spread | None]) -> Callable[[CellResult, str], str]:
    def text(result: CellResult, peer: str) -> str:
        found = find(result, peer)
        return MISSING if found is None else short(found.median)

    return text


def columns(result: CellResult, baseline: str) -> list[Column]:
    """The columns of a cell's table after the peer's name, the most important ones first.

    If `baseline` has no figure, the bare loop or the first peer that has one takes its place.
    """
    measured = [peer for peer in (baseline, BARE, *result.cell.peers) if result.rates(peer)]
    base = measured[0] if measured else baseline
    return [
        Column("env steps/s", lambda result, peer: rate(result.rate(peer))),
        Column("95 %", lambda result, peer: reach(result.interval(peer)), wide=True),
        *_ratio(base),
        *(() if base == "sync" else _ratio("sync", wide=True)),
        Column("of ceiling", lambda result, peer: fraction(result.of_ceiling(peer))),
        Column("of loops", lambda result, peer: fraction(result.of_cores(peer)), wide=True),
        Column("cores", _cores),
        Column("switches", _rounded(CellResult.switches)),
        Column("memory", _footprint(lambda each: size(each.memory_bytes))),
        Column("start", _footprint(lambda each: duration(each.construct_seconds))),
        Column("close", _footprint(lambda each: duration(each.close_seconds))),
        Column("processes", _footprint(lambda each: str(each.processes)), wide=True),
        Column("batch p50", _latency("p50"), wide=True),
        Column("p90", _latency("p90"), wide=True),
        Column("p99", _latency("p99"), wide=True),
        Column("longest", _latency("longest"), wide=True),
    ]


def _cores(result: CellResult, peer: str) -> str:
    found = result.cores_used(peer)
    return MISSING if found is None else f"{found.median:.2f}"


def rows(
    result: CellResult, shown: Sequence[Column]
) -> tuple[list[Column], list[tuple[str, list[str]]]]:
    """The texts of a cell's table.

    Returns:
        The columns that are not empty, and for each contestant its label and texts.
    """
    texts = {peer: [each.text(result, peer) for each in shown] for peer in result.cell.peers}
    kept = [
        index
        for index in range(len(shown))
        if any(row[index] != MISSING for row in texts.values()) or index == 0
    ]
    return [shown[index] for index in kept], [
        (peer, [row[index] for index in kept]) for peer, row in texts.items()
    ]


def notes(result: CellResult) -> list[str]:
    """Notes on a cell's figures, one per line, failures included."""
    lines = []
    ceiling, loops = spread(result.ceilings().values()), result.rate(BARE_ALL)
    if ceiling is not None:
        lines.append(
            f"ceiling: {result.cores} cores x the Python loop = {rate(ceiling)} env steps/s"
        )
        if result.cell.think:
            lines[-1] += ", except for the caller's computing"
        if loops is not None:
            lines[-1] += f"; loops on all cores at once reached {short(loops.median)}"
        if result.cell.workload in _MOVED:
            lines.append("(the loop moves no observations; peers that do cannot come near it)")
    counts = {len(result.of(peer)) for peer in result.cell.peers if result.of(peer)}
    if counts:
        rounds = f"{_span(counts)} round{'s' if max(counts) > 1 else ''}"
        lines.append(f"medians over {rounds}; ratios are taken within each round")
    outside = result.outside()
    if outside is not None and outside.median > QUIET and not result.cell.busy:
        lines.append(
            f"DISTURBED: other programs held {outside.median:.2f} cores (median over the slices)"
        )
    cell = result.cell
    lines += [f"{peer_title(cell, peer)}: {text}" for peer, text in result.failures.items()]
    lines += [
        f"{peer_title(cell, peer)} not measured: {text}" for peer, text in result.refusals.items()
    ]
    return lines


def _span(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def shares(breakdown: Mapping[str, Any]) -> dict[str, float]:
    """The fraction of a step's time by the names of `PARTS`, without the recording.

    Args:
        breakdown: As `envring.bench.measuring.breakdown.Breakdown.as_json` writes it.
    """
    whole = float(breakdown["wall"]) - float(breakdown.get("recording", 0.0))
    return {name: float(breakdown.get(name, 0.0)) / whole for name in PARTS}


def batch_seconds(breakdown: Mapping[str, Any]) -> float:
    """Seconds of one step of all envs, without the recording."""
    whole = float(breakdown["wall"]) - float(breakdown.get("recording", 0.0))
    return whole / max(1, int(breakdown["batches"]))


def breakdowns(document: Document) -> list[tuple[str, dict[str, Any]]]:
    """The title and the breakdown of each contestant that has one, in the order of the cells."""
    return [
        (f"{heading(result.cell)}: {peer_title(result.cell, peer)}", found)
        for result in document.cells
        for peer, found in result.breakdowns.items()
        if found.get("batches")
    ]


def breakdown_table(document: Document) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table of where the time of a step goes; no rows if unknown.

    The last column says how much longer recording made a step.
    """
    rows = [
        [
            title,
            duration(batch_seconds(found)),
            *(_percent(share) for share in shares(found).values()),
            _percent(found.get("slowdown")),
        ]
        for title, found in breakdowns(document)
    ]
    return ["where the time of a step goes", "a step", *PARTS, "slowed by"], rows


def _percent(share: float | None) -> str:
    # + 0.0 drops the sign of what rounds to zero
    return MISSING if share is None else f"{round(100 * share, 1) + 0.0:.1f} %"


def machine_line(machine: Mapping[str, Any]) -> str:
    """Hardware and versions in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cores = f"{machine['cores_usable']} of {machine['cores_total']} cores"
    return f"{machine['cpu']}, {cores}, {machine['kernel']}; {versions}"


def load_line(machine: Mapping[str, Any]) -> str:
    """How busy the machine was, by its load averages of 1, 5 and 15 minutes."""
    load = (machine.get("load_before"), machine.get("load_after"))
    texts = [" ".join(f"{each:g}" for each in part) if part else "unknown" for part in load]
    return f"load average before {texts[0]}, after {texts[1]}"


def absent_lines(document: Document) -> list[str]:
    """One line per install command, naming the peers that it adds."""
    by_command: dict[str, list[str]] = {}
    for peer, command in document.absent.items():
        known = adapters().get(peer)
        by_command.setdefault(command, []).append(known.title if known else peer)
    return [f"not installed: {', '.join(them)} ({how})" for how, them in by_command.items()]
