# SPDX-License-Identifier: MIT
"""The blocks of docs/pettingzoo.md."""

from ecosystem.blocks import run_block
from support.hosts import running


def test_block(tmp_path):
    run_block("PettingZoo", tmp_path)


def test_block_with_a_host(tmp_path):
    with running("pettingzoo.butterfly.pistonball_v6:parallel_env") as host:
        run_block("PettingZoo and a host", tmp_path, url=f"tcp://127.0.0.1:7777 -> {host.url}")
