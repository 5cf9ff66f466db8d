# SPDX-License-Identifier: MIT
"""gRPC's threads: which of them a message passes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import envring
from support.hosts import running

pytest.importorskip("grpc", reason="gRPC stays unchecked")

STEPS = 300


def switches(pid):
    """How often gRPC's own threads went to sleep so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("event_engine"):
            lines = (task / "status").read_text().splitlines()
            found = [line for line in lines if line.startswith("voluntary")]
            total += int(found[0].split()[1])
    return total


def test_a_message_wakes_none_of_its_own():
    with running("CartPole-v1", "--listen", "grpc://127.0.0.1:0") as host:
        env = envring.make("CartPole-v1", remotes=host.url)
        env.reset(seed=0)
        before = switches(host.process.pid)
        for _ in range(STEPS):
            _, _, terminated, truncated, _ = env.step(0)
            if terminated or truncated:
                env.reset()
        assert switches(host.process.pid) - before < STEPS / 2
        env.close()


@pytest.mark.parametrize("theirs", ["", "-event_engine_client"])
def test_what_it_is_told_is_for_this_process_alone(theirs):
    code = """
        import os
        import envring.gateways.dm_env_rpc.listener as listener
        print(os.environ.get("GRPC_EXPERIMENTS", ""), listener.grpc.__name__)
    """
    environ = {name: text for name, text in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    if theirs:
        environ["GRPC_EXPERIMENTS"] = theirs
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [*theirs.split(), "grpc"]
