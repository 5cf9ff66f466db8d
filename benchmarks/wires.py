# SPDX-License-Identifier: MIT
"""Other projects' servers and ours under the same client, in one run: `python benchmarks/wires.py`.

One CartPole, step by step, on two cores. Of Gymie and AgentGPT no client is left: theirs are
scripts with the same libraries; gym-http-api's server is not on PyPI any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from remote import CARTPOLE, Bench, Row, Turns, main
from support import peers
from support.turns import Rates, Verdict, free_port

ENVRING, THEIRS = "envring", "the original"
GOAL = 1.5  # times the steps of the original


def row(
    what: str,
    client: str,
    scheme: str,
    original: str | None,
    packages: str | None,
    in_ours: bool = False,
) -> Row:
    """A row: our server and the original one under a client.

    Args:
        what: what the row shows.
        client: the peer, of `remote_peer.py`.
        scheme: of our server's address.
        original: the server, of `remote_peer.py`, if it can be had.
        packages: names the interpreter of the original.
        in_ours: whether the client runs in our interpreter, else in that of the original.
    """

    def build(bench: Bench) -> Turns:
        python = sys.executable if packages is None else peers.python_of(packages)
        caller = sys.executable if in_ours else python
        server, port = bench.serve("listen", f"{scheme}://127.0.0.1:0", CARTPOLE)
        turns = {ENVRING: bench.turn(bench.start(client, port, python=caller), server)}
        if original is not None:
            port = str(free_port())
            server, _ = bench.serve(original, port, python=python)
            turns[THEIRS] = bench.turn(bench.start(client, port, python=caller), server)
        return turns

    def judge(rates: Rates) -> Iterator[Verdict]:
        if original is not None:
            yield Verdict("the original's steps", rates.ratio(ENVRING, THEIRS), "x", GOAL)

    build.__doc__ = what
    return Row(build, judge)


def tensors(bench: Bench) -> Turns:
    """84x84x4 float32 as bytes of dm_env_rpc, and back; the reference is tensor_utils 1.1.6."""
    theirs = bench.start("their-tensors", python=peers.python_of("remote-gym"))
    return {ENVRING: bench.turn(bench.start("our-tensors")), THEIRS: bench.turn(theirs)}


def judge_tensors(rates: Rates) -> Iterator[Verdict]:
    yield Verdict("the reference's images", rates.ratio(ENVRING, THEIRS), "x", 10.0)


ROWS = {
    "tensors": Row(tensors, judge_tensors),
    "openenv": row("OpenEnv 0.3.0", "openenv", "http", "openenv-server", "openenv"),
    "gymie": row("Gymie 0.5.4", "gymie", "http", "gymie-server", "gymie", in_ours=True),
    "agent-gpt": row(
        "AgentGPT 0.4.8, msgpack", "agent-gpt", "http", "agent-gpt-server", "agent-gpt"
    ),
    "remote-gym": row("remote-gym 0.7.3", "remote-gym", "grpc", "remote-gym-server", "remote-gym"),
    "gym-http": row("gym-http-api", "gym-http", "http", None, None),
}


if __name__ == "__main__":
    sys.exit(main(ROWS, __doc__))
