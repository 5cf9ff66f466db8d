# SPDX-License-Identifier: MIT
"""The process in which one peer lives: JSON requests on stdin, JSON replies on another pipe."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from typing import Any, TextIO

from envring.bench import machine, peers, workloads

_PR_SET_PDEATHSIG = 1


def measure_idle(peer: peers.Peer, after: float, until: float) -> dict[str, float]:
    """CPU time of this process's children from ``after`` to ``until`` seconds past a step."""
    children = machine.family(os.getpid()) - {os.getpid()}
    peer.advance(50)
    start = time.perf_counter()
    time.sleep(max(0.0, start + after - time.perf_counter()))
    used = machine.cpu_seconds(children)
    begin = time.perf_counter()
    time.sleep(max(0.0, start + until - time.perf_counter()))
    used = machine.cpu_seconds(children) - used
    return {"cpu_seconds": used, "seconds": time.perf_counter() - begin, "children": len(children)}


def _die_with_parent() -> None:
    """End with the caller: by the kernel on Linux, elsewhere when stdin ends."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _answer(replies: TextIO, **fields: Any) -> None:
    replies.write(json.dumps(fields) + "\n")
    replies.flush()


def _serve(replies: TextIO) -> None:
    request = json.loads(sys.stdin.readline())
    workload = workloads.find(request["workload"])
    peer = peers.build(request["peer"], workload, request["num_envs"], request["options"])
    _answer(replies, seconds=peer.construct_seconds)
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "slice":
            _answer(replies, **peers.measure_slice(peer, request["seconds"]))
        elif request["op"] == "idle":
            _answer(replies, **measure_idle(peer, request["after"], request["until"]))
        elif request["op"] == "close":
            break
    start = time.perf_counter()
    peer.close()
    _answer(replies, seconds=time.perf_counter() - start)


def main() -> None:
    """Serve one peer until it is told to close or its caller is gone."""
    _die_with_parent()
    os.set_inheritable(int(sys.argv[1]), False)
    # What environments print must not reach the caller's terminal: stdout goes where stderr goes.
    os.dup2(2, 1)
    with open(int(sys.argv[1]), "w", encoding="utf-8") as replies:
        try:
            _serve(replies)
        except Exception as error:
            traceback.print_exc()
            _answer(replies, error=f"{type(error).__name__}: {error}")
            raise SystemExit(1) from None
