# SPDX-License-Identifier: MIT
"""What is to come of each fault: of which kind, at which place, in which worker.

Four envs in two workers. Env 3 does what is wrong; env 2 shares its worker, and was stepped before
it: `publish` is the moment in which the observations of both are there and nobody was told.
`handshake` is when the worker describes its envs to the caller.

With restarts, `launch`, `handshake` and `constructor` are those of a successor: its predecessor was
killed in a step. Before any worker is at work both policies are the same.

What a cell is to do is one line of text, as `play.py` tells what it did: what went otherwise than
without the fault, in the order in which the caller sees it; "fine" if nothing did.
"""

from __future__ import annotations

from typing import NamedTuple

CONTEXTS = ("fork", "forkserver", "spawn", "prefix", "sandbox", "remote", "program")
LOCAL = ("fork", "forkserver", "spawn")
POLICIES = ("raise", "restart")
START = ("launch", "handshake", "constructor")
WHERE = (*START, "reset", "step", "publish", "render", "call", "close", "idle")
HOW = (
    *("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGTERM", "os._exit(0)", "sys.exit"),
    *("exception", "BaseException", "endless loop", "loop in C"),
    *("memory limit", "descriptors used up", "stdout flood", "stderr flood"),
    *("stderr flood, locked", "closed descriptors", "taken signals", "blocked signals"),
    *("fork", "thread", "noisy grandchild", "ftruncate"),
)


class Cell(NamedTuple):
    """One fault."""

    context: str
    policy: str
    where: str
    how: str

    def __str__(self) -> str:
        """Names it."""
        return f"{self.context}, {self.policy}: {self.how} at {self.where}"


# -- what makes no sense ---------------------------------------------------------------------------


def left_out(where: str, how: str, context: str) -> str | None:
    """Why there is no such cell, or None."""
    if (where == "launch" and how in RAISE) or (where == "launch" and how == "sys.exit"):
        return "no code of an env runs yet whose exception could go anywhere"
    if (where, how) == ("launch", "noisy grandchild") and context in LOCAL:
        return "stderr is still the caller's own: it has no end that would end the grandchild"
    if context == "program":
        if where == "handshake":
            return "a program's spaces are a constant"
        if where == "render":
            return "programs do not render"
        if how in ("loop in C", "stderr flood, locked"):
            return "there is no interpreter whose lock could be held"
    if where == "idle" and how in ("sys.exit", "exception", "BaseException"):
        return "an idle env has other threads only, and those end by themselves"
    if where == "idle" and how in ("taken signals", "blocked signals"):
        return "other threads than the main one have no handlers, and block for themselves"
    return None


def cells(contexts: tuple[str, ...] = CONTEXTS) -> list[Cell]:
    """All that there are in these contexts."""
    return [
        Cell(context, policy, where, how)
        for context in contexts
        for where in WHERE
        for how in HOW
        for policy in POLICIES
        if left_out(where, how, context) is None
    ]


# -- what is to come -------------------------------------------------------------------------------

# contexts in which restarts are refused at the door, and by which error
REFUSED: dict[str, str] = {}

RAISE = {  # what it raises; a limit is met as the error that it causes
    "exception": "ValueError",
    "BaseException": "Strange",
    "memory limit": "MemoryError",
    "descriptors used up": "OSError",
}
SIGNALS = {"SIGKILL": 9, "SIGSEGV": 11, "SIGTERM": 15}
HANG = ("SIGSTOP", "endless loop", "loop in C")


def expected(cell: Cell) -> str:
    """What is to come of a cell."""
    if cell.policy == "restart" and cell.context in REFUSED:
        return f"start: {REFUSED[cell.context]}"
    if cell.where == "close":
        return at_close(cell)
    if cell.where in START:
        return at_start(cell)
    return at_work(cell)


def death(cell: Cell) -> str:
    """How a worker's end is told if it ends at all, else ""."""
    if cell.how in SIGNALS:
        number = SIGNALS[cell.how]
        # what a sandbox has for an end is that of its outermost process
        return f"exit {128 + number}" if cell.context == "sandbox" else f"signal {number}"
    if cell.how == "os._exit(0)":
        return "exit 0"
    return "exit 7" if cell.how == "sys.exit" else ""


def of_channel(cell: Cell) -> str:
    """The end of a worker without its channel: to the old interpreter its caller is gone."""
    return "exit 1" if cell.context in LOCAL else "exit 0"


def at_close(cell: Cell) -> str:
    """Closing is the end of all: nobody misses a worker that dies at it."""
    if cell.how in RAISE:  # a destructor that throws ends a program
        return "fine" if cell.context == "program" else "close: told"
    return "close: killed" if cell.how in HANG else harmless(cell)


def at_start(cell: Cell) -> str:
    """While envs are built: of the vector env itself, or of a successor."""
    if cell.policy == "raise":
        error = start_error(cell)
        return f"start: {error}" if error else harmless(cell)
    # one more start, and nobody sees more of it than of the first one
    return "1 more restart" if start_error(cell) and cell.context != "remote" else harmless(cell)


def start_error(cell: Cell) -> str:
    """What ends a start, "" if it is not ended."""
    how, where, local = cell.how, cell.where, cell.context in LOCAL
    before_hello = where == "launch" and not local
    if how in HANG:
        if cell.context == "remote":
            return "WorkerTimeout(0, 1, 2, 3)"  # the host is to build them all
        return "HandshakeError" if before_hello else "WorkerTimeout(2, 3)"
    if before_hello and how == "closed descriptors" and cell.context == "program":
        return "LaunchError"  # of the segment: the channel is its stdin
    if before_hello:
        # it ends before it said anything; or it said 2 MiB of something else; a start-up file that
        # closes descriptors takes the one that it is read from
        says_nothing = bool(death(cell)) or how in ("stdout flood", "closed descriptors")
        return "HandshakeError" if says_nothing else ""
    if how == "sys.exit" and where == "constructor" and not local and cell.context != "program":
        return "RemoteEnvError of env 3"
    if death(cell):
        return f"WorkerDied(2, 3) {death(cell)}"
    if how == "closed descriptors":
        return f"WorkerDied(2, 3) {'exit 1' if where == 'launch' else of_channel(cell)}"
    if how in RAISE and where == "constructor":
        return f"{RAISE[how] if local else 'RemoteEnvError'} of env 3"
    if how in RAISE:  # in what describes the envs
        return "WorkerDied(2, 3) exit 1" if local or how == "BaseException" else "LaunchError"
    return ""


def at_work(cell: Cell) -> str:
    """While envs are used."""
    how, where = cell.how, cell.where
    name = {"publish": "step", "idle": "step"}.get(where, where)
    idle_loop = where == "idle" and how == "endless loop"  # it shares the lock
    if how in RAISE:
        if where == "idle":
            return harmless(cell)
        kind = RAISE[how]
        if kind == "Strange" and cell.context not in LOCAL:
            kind = "plain_faults.Strange"
        if cell.context == "program":
            kind = "RemoteEnvError"  # whatever was thrown
        return f"{name}: {kind} of env 3"
    if how in HANG and not idle_loop:
        error = "WorkerTimeout(2, 3)"
    elif death(cell):
        error = f"WorkerDied(2, 3) {death(cell)}"
    elif how == "closed descriptors":
        # a step needs none of them; the next message does
        name, error = "call", f"WorkerDied(2, 3) {of_channel(cell)}"
    else:
        return harmless(cell)
    if cell.policy == "raise":
        return f"{name}: {error}"
    once = "" if cell.context == "remote" else "; 1x"  # a host counts its own
    if name in ("call", "render"):
        how_it_died = error.partition(") ")[2] or "exit None"
        whose = "(0, 1, 2, 3)" if cell.context == "remote" else "(2, 3)"  # a host's session ends
        return f"{name}: WorkerRestarted{whose} {how_it_died}{once}"
    return f"{name}: restarted{once}"


def harmless(cell: Cell) -> str:
    """What the others do not notice; a Python with such a thread does not end by itself."""
    stays = cell.how == "thread" and cell.context != "program"
    return "close: killed" if stays else "fine"
