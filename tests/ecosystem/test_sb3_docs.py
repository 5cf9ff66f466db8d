# SPDX-License-Identifier: MIT
"""The block of docs/trainers.md for Stable-Baselines3."""

from ecosystem.blocks import run_block


def test_block(tmp_path):
    run_block("Stable-Baselines3", tmp_path, steps="50_000 -> 2_048")
