# SPDX-License-Identifier: MIT
"""The block of docs/trainers.md for Tianshou."""

from ecosystem.blocks import run_block


def test_block(tmp_path):
    run_block("Tianshou", tmp_path)
