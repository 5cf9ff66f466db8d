# SPDX-License-Identifier: MIT
"""Programs that compute beside the peers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from envring.bench.measuring.company import company
from envring.bench.measuring.orphans import Guard
from envring.bench.measuring.runner import run_cell
from envring.bench.plan.cells import Cell
from envring.bench.reporting import wording
from support.processes import wait_until


def loops() -> set[int]:
    """The busy loops of this process: other tests may have some beside it."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
            parent = int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"while True: pass" in arguments and parent == os.getpid():
            found.add(int(path.parent.name))
    return found


def ticks(pid: int) -> int:
    """CPU time of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])


def test_they_compute_and_end_with_the_block() -> None:
    with Guard() as guard, company(2, guard):
        mine = wait_until(lambda: len(loops()) == 2 and loops(), 20, "two loops")
        wait_until(lambda: all(ticks(pid) > 5 for pid in mine), 20, "both to compute")
    assert not loops()


def test_they_run_during_the_slices_only() -> None:
    seen = []
    result = run_cell(
        Cell.of("null", 2, ["sync", "bare"], busy=1),
        cores=1,
        rounds=2,
        slice_seconds=0.05,
        deadline=time.monotonic() + 20,
        advanced=lambda: seen.append(len(loops())),
    )
    assert not result.failures
    assert seen == [1] * 4
    assert not loops()
    assert "1 other program computing" in wording.heading(result.cell)
    assert type(result).from_json(result.as_json()).cell == result.cell
