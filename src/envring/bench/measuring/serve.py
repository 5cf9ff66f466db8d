# SPDX-License-Identifier: MIT
"""The process of one peer: JSON requests on stdin, JSON replies on another pipe."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

from envring.api.vector import RingVectorEnv
from envring.bench import peers, workloads
from envring.bench.measuring import slices

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Die with the caller: by the kernel on Linux, elsewhere when stdin ends."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _answer(replies: TextIO, **fields: Any) -> None:
    replies.write(json.dumps(fields) + "\n")
    replies.flush()


def _load(request: Mapping[str, Any]) -> workloads.Workload:
    """Find the workload and import what the peer needs, so that neither counts as construction."""
    workload = workloads.find(request["workload"])
    peers.find(request["peer"]).load()
    if workload.needs is not None:
        importlib.import_module(workload.needs)
    return workload


def _envs(name: str, peer: peers.Peer) -> RingVectorEnv[Any, Any]:
    """The vector environment of one of our own peers."""
    envs = peer.envs if isinstance(peer, peers.VectorPeer) else None
    if not isinstance(envs, RingVectorEnv):
        raise ValueError(
            f"{name} is not a RingVectorEnv, and no other can tell where its time goes"
        )
    return envs


def _serve(replies: TextIO) -> None:
    first: dict[str, Any] = json.loads(sys.stdin.readline())
    name, num_envs, options = first["peer"], first["num_envs"], first["options"]
    think: float = first["think"]
    workload = _load(first)
    _answer(replies, loaded=True)
    peer: peers.Peer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        operation = request["op"]
        if operation == "close":
            break
        if operation == "construct":
            peer = peers.build(name, workload, num_envs, options)
            _answer(replies, seconds=peer.construct_seconds)
        elif peer is None:
            raise ValueError(f"{operation} before construct")
        elif operation == "slice":
            _answer(replies, **slices.measure_slice(peer, request["seconds"], think))
        elif operation == "idle":
            _answer(replies, **slices.measure_idle(peer, request["after"], request["until"]))
        elif operation == "breakdown":
            from envring.bench.measuring.breakdown import measure_envs

            found = measure_envs(_envs(name, peer), request["seconds"], think)
            _answer(replies, breakdown=found.as_json())
        elif operation == "trace":
            from envring.bench.measuring.trace import trace_envs

            _answer(replies, batches=trace_envs(_envs(name, peer), request["path"], think))
        else:
            raise ValueError(f"unknown operation {operation!r}")
    start = time.perf_counter()
    if peer is not None:
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
