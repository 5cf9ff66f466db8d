# SPDX-License-Identifier: MIT
"""Two runs side by side: what became faster, what slower, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import QUIET, CellResult
from envring.bench.measuring.stats import Interval
from envring.bench.plan.cells import BARE, Contestant
from envring.bench.reporting import wording

Word = Literal["faster", "slower", "no difference seen", "only in old", "only in new"]
Basis = Literal["of the bare loop", "env steps/s"]


@dataclass(frozen=True)
class Verdict:
    """How one peer changed in one cell.

    Attributes:
        heading: The cell.
        peer: The peer's label.
        title: Its name in tables.
        word: The verdict. "faster" and "slower" only if the whole interval of `ratio` is on one
            side of 1.
        basis: What was compared: rates over that of the bare loop in the same round, which do not
            depend on the machine's speed, or plain rates, which do, for the bare loop itself and if
            one of the runs has no bare loop.
        old: The old figure; None if there is none.
        new: The new figure; None if there is none.
        ratio: The new figure over the old one; None unless both exist.
        note: Further remarks, or an empty string.
    """

    heading: str
    peer: str
    title: str
    word: Word
    basis: Basis
    old: Interval | None
    new: Interval | None
    ratio: Interval | None
    note: str = ""

    def texts(self) -> list[str]:
        """Old, new, their ratio, its 95 % interval and the verdict, as tables show them."""
        write = wording.rate if self.basis == "env steps/s" else wording.fraction
        return [
            write(self.old),
            write(self.new),
            wording.times(self.ratio),
            wording.ratio_reach(self.ratio),
            self.word,
        ]


COLUMNS = ("old", "new", "new / old", "95 %", "verdict")


def compare(old: Document, new: Document) -> list[Verdict]:
    """A verdict for each peer in each cell of either run, in the order of the new one."""
    before = {result.cell.key: result for result in old.cells}
    after = {result.cell.key: result for result in new.cells}
    verdicts: list[Verdict] = []
    for key in after | before:
        verdicts += _cell(before.get(key), after.get(key))
    return verdicts


def _cell(old: CellResult | None, new: CellResult | None) -> Iterator[Verdict]:
    shown = new or old
    assert shown is not None
    normal = all(each is None or each.rates(BARE) for each in (old, new))
    labels = dict.fromkeys(
        peer for each in (new, old) if each is not None for peer in each.cell.peers
    )
    for peer in labels:
        basis: Basis = "of the bare loop" if normal and peer != BARE else "env steps/s"
        first, second = _figure(old, peer, basis), _figure(new, peer, basis)
        owner = next(each for each in (new, old) if each and peer in each.cell.peers)
        ratio = None
        if first is not None and second is not None:
            ratio = second.over(first)
        elif first is None and second is None:
            continue  # it failed in both: the reports of the runs say how
        yield Verdict(
            heading=wording.heading(shown.cell),
            peer=peer,
            title=wording.peer_title(owner.cell, peer),
            word=_word(first, ratio),
            basis=basis,
            old=first,
            new=second,
            ratio=ratio,
            note=_note(old, new, peer),
        )


def _figure(result: CellResult | None, peer: str, basis: Basis) -> Interval | None:
    if result is None:
        return None
    if basis == "env steps/s":
        return result.interval(peer)
    return result.ratio_interval(peer, BARE)


def _word(old: Interval | None, ratio: Interval | None) -> Word:
    if ratio is None:
        return "only in new" if old is None else "only in old"
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "no difference seen"


def _note(old: CellResult | None, new: CellResult | None, peer: str) -> str:
    notes = []
    if old is not None and new is not None:
        first, second = _contestant(old, peer), _contestant(new, peer)
        if (
            first
            and second
            and (first.peer, dict(first.options))
            != (
                second.peer,
                dict(second.options),
            )
        ):
            notes.append(f"its options were {dict(first.options)}, now {dict(second.options)}")
    for run, result in (("old", old), ("new", new)):
        if result is None:
            continue
        if peer in result.failures:
            notes.append(f"in the {run} run it {result.failures[peer]}")
        elif len(result.of(peer)) == 1:
            notes.append(f"only one round in the {run} run, so no change can be seen")
    if peer == BARE:
        notes.append("the speed of the machine and of the envs, not of any package")
    return "; ".join(notes)


def _contestant(result: CellResult, peer: str) -> Contestant | None:
    return next((each for each in result.cell.contestants if each.label == peer), None)


def warnings(old: Document, new: Document) -> list[str]:
    """Why the two runs may not be comparable, a line each."""
    lines = []
    for key, what in (("cpu", "processor"), ("cores_usable", "usable cores"), ("kernel", "kernel")):
        first, second = old.machine.get(key), new.machine.get(key)
        if first != second:
            lines.append(f"{what}: {first}, now {second}")
    versions = [each.machine.get("versions", {}) for each in (old, new)]
    for package in sorted(versions[0].keys() & versions[1].keys() - {"envring"}):
        if versions[0][package] != versions[1][package]:
            lines.append(f"{package}: {versions[0][package]}, now {versions[1][package]}")
    for name, document in (("old", old), ("new", new)):
        held = [
            each.median
            for cell in document.cells
            if not cell.cell.busy and (each := cell.outside()) is not None
        ]
        disturbed = [each for each in held if each > QUIET]
        if disturbed:
            cells = f"{len(disturbed)} of {len(document.cells)} cells"
            lines.append(
                f"the {name} run was disturbed in {cells}: other programs held up to "
                f"{max(disturbed):.2f} cores"
            )
    plain = {
        wording.heading(result.cell)
        for document in (old, new)
        for result in document.cells
        if not result.rates(BARE)
    }
    if plain:
        lines.append(
            f"no bare loop in one of the runs for {', '.join(sorted(plain))}: plain rates are "
            "compared, which change with the machine's speed"
        )
    return lines


def split(verdicts: Sequence[Verdict]) -> tuple[list[Verdict], list[str]]:
    """The verdicts of the cells that both runs have, and lines about those that only one has."""
    cells: dict[str, list[Verdict]] = {}
    for each in verdicts:
        cells.setdefault(each.heading, []).append(each)
    both: list[Verdict] = []
    alone: dict[str, list[str]] = {}
    for heading, found in cells.items():
        words = {each.word for each in found}
        if len(words) == 1 and words <= {"only in old", "only in new"}:
            alone.setdefault(words.pop(), []).append(heading)
        else:
            both += found
    return both, [f"{word}: {'; '.join(headings)}" for word, headings in alone.items()]


def worse(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that became slower, without the bare loop, which measures only the machine."""
    return [each for each in verdicts if each.word == "slower" and each.peer != BARE]


def conclusion(verdicts: Sequence[Verdict]) -> str:
    """The number of each verdict, and how many changes chance alone would produce."""
    words = [each.word for each in verdicts]
    parts = [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
    both = sum(each.ratio is not None for each in verdicts)
    text = ", ".join(parts) if parts else "nothing to compare"
    if both >= 20:
        chance = round(both * 0.05)
        text += f" (chance alone makes up to {chance} of {both} look like a change)"
    return text
