# SPDX-License-Identifier: MIT
"""Plays the cells of the table and prints it: `python -m matrix.command [context ...]`.

Options of `make faults` are environment variables: REPEATS (1) of every cell, JOBS cells at a time,
PICK, a regular expression that a cell's name has to match.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import Counter

from matrix.table import CONTEXTS, HOW, POLICIES, WHERE, Cell, cells, expected, left_out

SILENCE = 100.0  # seconds without an answer after which a driver is given up
MARKS = {
    "fine": ".",
    "restarted": "R",
    "more restart": "R",
    "WorkerRestarted": "R",
    "WorkerDied": "D",
    "WorkerTimeout": "T",
    "close: killed": "K",
    "close: told": "W",
    "LauncherError": "-",
    "start:": "S",
    "of env 3": "E",
}
LEGEND = (
    "rows: where, columns: how; each cell: policy raise, then restart\n"
    ". nothing is noticed  D WorkerDied  T WorkerTimeout  E the env's exception  R restarted\n"
    "S the start fails otherwise  K close() kills  W close() warns  - refused  ! not as expected"
)


class Result:
    """What came of the repeats of one cell."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.wrong: list[str] = []
        self.count = 0


def drive(
    work: queue.SimpleQueue[Cell],
    results: dict[Cell, Result],
    seconds: list[float],
    silence: float,
) -> None:
    """Gives cells to a driver, and to the next one if it ends."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver: subprocess.Popen[str] | None = None
    while True:
        try:
            cell = work.get_nowait()
        except queue.Empty:
            break
        if driver is None:
            driver = subprocess.Popen(
                # as a main module, workers that are not forked would import it
                [sys.executable, "-c", "from matrix.driver import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environ,
                start_new_session=True,
            )
        assert driver.stdin is not None
        assert driver.stdout is not None
        watch = threading.Timer(silence, driver.kill)
        watch.start()
        try:
            print(json.dumps(cell), file=driver.stdin, flush=True)
            line = driver.stdout.readline()
        except BrokenPipeError:
            line = ""
        watch.cancel()
        result = results[cell]
        result.count += 1
        if not line:
            result.wrong.append(f"the caller ended: {driver.wait()}")
            driver.stdin.close()
            driver.stdout.close()
            driver = None
            continue
        _, said, left, took = json.loads(line)
        seconds.append(took)
        if said != expected(cell):
            result.wrong.append(f"expected {expected(cell)!r}, got {said!r}")
        if left:
            result.wrong.append(f"left behind: {'; '.join(left)}")
    if driver is not None:
        driver.communicate()


def play_all(
    chosen: list[Cell], repeats: int, jobs: int, silence: float = SILENCE
) -> tuple[dict[Cell, Result], list[float]]:
    """Plays cells so many times; what came of each, and the seconds that each took."""
    results = {cell: Result() for cell in chosen}
    work: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for _ in range(repeats):
        for cell in chosen:
            work.put(cell)
    seconds: list[float] = []
    threads = [
        threading.Thread(target=drive, args=(work, results, seconds, silence)) for _ in range(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, seconds


def mark(cell: Cell, results: dict[Cell, Result]) -> str:
    """One letter for a cell: what it did if that was right."""
    if left_out(cell.where, cell.how, cell.context) is not None:
        return " "
    result = results.get(cell)
    if result is None or not result.count:
        return "?"
    if result.wrong:
        return "!"
    said = expected(cell)
    return next(mark for words, mark in MARKS.items() if words in said)


def table(context: str, results: dict[Cell, Result]) -> str:
    """Rows where, columns how."""
    lines = [f"\n{context}"]
    wide = max(map(len, WHERE))
    for number in range(max(map(len, HOW))):
        letters = "  ".join(how[number : number + 1].rjust(1) or " " for how in HOW)
        lines.append(f"{'':{wide}}  {letters}".rstrip())
    for where in WHERE:
        marks = [
            "".join(mark(Cell(context, policy, where, how), results) for policy in POLICIES)
            for how in HOW
        ]
        lines.append(f"{where:{wide}}  {' '.join(marks)}".rstrip())
    return "\n".join(lines)


def main(contexts: tuple[str, ...]) -> int:
    """Plays, prints, and returns whether something was wrong."""
    unknown = set(contexts) - set(CONTEXTS)
    if unknown:
        print(f"no such context: {', '.join(sorted(unknown))}; there are {', '.join(CONTEXTS)}")
        return 2
    pick = re.compile(os.environ.get("PICK", ""))
    repeats = int(os.environ.get("REPEATS", "1"))
    jobs = int(os.environ.get("JOBS", "0")) or len(os.sched_getaffinity(0)) + 1
    chosen = [cell for cell in cells(contexts) if pick.search(str(cell))]
    begun = time.monotonic()
    results, seconds = play_all(chosen, repeats, jobs)
    took = time.monotonic() - begun
    print(LEGEND)
    for context in contexts:
        print(table(context, results))
    wrong = {cell: result for cell, result in results.items() if result.wrong}
    for cell, result in wrong.items():
        for text in Counter(result.wrong):
            print(f"! {cell}: {text} ({result.wrong.count(text)} of {result.count} times)")
    out = len(contexts) * len(WHERE) * len(HOW) * len(POLICIES) - len(cells(contexts))
    print(
        f"\n{len(chosen)} cells, {len(chosen) - len(wrong)} as expected, {len(wrong)} not; each "
        f"played {repeats} times, {jobs} at a time, in {took:.0f} s, the slowest in "
        f"{max(seconds, default=0.0):.0f} s; {out} are left out by rule"
    )
    return bool(wrong) or not chosen


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or CONTEXTS))
