# SPDX-License-Identifier: MIT
"""The tables of a run in Markdown, for READMEs and pages of results."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult
from envring.bench.plan.cells import OURS
from envring.bench.reporting import summary, wording
from envring.bench.reporting.compare import COLUMNS, Verdict, conclusion, split

_FOLDED_FROM = 4  # so many cells or more are folded


def document(found: Document, baseline: str = "async") -> str:
    """A whole run: all cells in one table, the losses, each cell, and the machine."""
    parts = []
    if len(found.cells) > 1:
        parts += [overview(found, baseline), losses(found)]
    tables = [cell(result, baseline) for result in found.cells]
    if len(tables) >= _FOLDED_FROM:
        body = "\n\n".join(tables)
        parts.append(f"<details>\n<summary>Every figure</summary>\n\n{body}\n\n</details>")
    else:
        parts += tables
    parts.append(_text(wording.LEGEND))
    heads, rows = wording.breakdown_table(found)
    if rows:
        parts.append(_table(heads, [[_text(title), *texts] for title, *texts in rows]))
    parts += [_text(text) for text in wording.absent_lines(found)]
    parts.append(f"{_text(wording.machine_line(found.machine))}.")
    command = f" Repeat with `{shlex.join(found.argv)}`." if found.argv else ""
    parts.append(f"Measured {found.when}, {wording.load_line(found.machine)}.{command}")
    return "\n\n".join(part for part in parts if part) + "\n"


def overview(found: Document, base: str = "async", peers: Sequence[str] | None = None) -> str:
    """All cells in one table: the rate of each peer over that of `base`.

    Args:
        found: The run.
        base: The label of the peer that all rates are divided by.
        peers: The labels of the peers to show (default: all that have figures).
    """
    peers = list(summary.peers(found) if peers is None else peers)
    rows = [
        [
            _text(wording.heading(result.cell)),
            wording.rate(result.rate(OURS)),
            wording.fraction(result.of_ceiling(OURS)),
            *(_entry(each) for each in entries),
        ]
        for result, entries in summary.table(found, base, peers)
    ]
    ours = wording.brief(OURS)
    legend = (
        f"First two columns: {ours}'s. Others: times as fast as {wording.brief(base)}, medians of "
        "ratios within rounds. "
        f"**Bold**: clearly faster than {ours}. ≈: no difference from {ours} seen. "
        "*Italic*: not a rival, but a plain loop or C++ envs. †: failed later, see below."
    )
    heads = ["", "env steps/s", "of ceiling", *map(wording.brief, peers)]
    return f"{_table(heads, rows)}\n\n{legend}"


def _entry(entry: summary.Entry) -> str:
    if entry.ratio is None:
        return "failed" if entry.failed else wording.MISSING
    text = wording.times(entry.ratio) + (" †" if entry.failed else "")
    marks = {"ahead": f"**{text}**", "even": f"≈ {text}", "apart": f"*{text}*"}
    return marks.get(entry.standing, text)


def losses(found: Document) -> str:
    """A line for each rival that is clearly faster; a sentence if there is none."""
    lost = summary.losses(found)
    if not lost:
        return "In none of these cells is another peer that steps Python envs clearly faster."
    lines = [
        f"- {_text(each.heading)}: `{each.peer}` is {wording.times(each.ratio)} as fast "
        f"(95 %: {wording.ratio_reach(each.ratio)})"
        for each in lost
    ]
    return "Where others are faster:\n\n" + "\n".join(lines)


def cell(result: CellResult, baseline: str = "async", wide: bool = False) -> str:
    """One cell: a row for each contestant, and notes below the table."""
    shown = [each for each in wording.columns(result, baseline) if wide or not each.wide]
    columns, rows = wording.rows(result, shown)
    texts = []
    for peer, row in rows:
        title = _text(wording.peer_title(result.cell, peer))
        texts.append([f"**{title}**" if peer == OURS else title, *row])
    heads = ["peer", *(column.title for column in columns)]
    parts = [f"### {_text(wording.heading(result.cell))}", _table(heads, texts)]
    parts.append("\n".join(f"- {_text(note)}" for note in wording.notes(result)))
    return "\n\n".join(part for part in parts if part)


def comparison(verdicts: Sequence[Verdict], warnings: Sequence[str] = ()) -> str:
    """Two runs: a table with a row for each peer in each cell, and a summary."""
    rows = []
    notes = []
    both, alone = split(verdicts)
    for each in both:
        texts = each.texts()
        if each.word in ("faster", "slower"):
            texts[-1] = f"**{each.word}**"
        rows.append([_text(each.heading), _text(each.title), *texts])
        if each.note:
            notes.append(f"- {_text(each.heading)}, {_text(each.title)}: {_text(each.note)}")
    parts = [f"- Warning: {_text(text)}" for text in warnings]
    body = _table(["cell", "peer", *COLUMNS], rows, left=2)
    notes += [f"- {_text(text)}" for text in alone]
    found = ["\n".join(parts), body, "\n".join(notes), f"{conclusion(both)}."]
    return "\n\n".join(part for part in found if part) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table whose first `left` columns are left-aligned, the others right-aligned."""
    rules = ["---"] * left + ["---:"] * (len(heads) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rules, *rows))


def _text(text: str) -> str:
    """`text` in one line, with Markdown's characters escaped."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
