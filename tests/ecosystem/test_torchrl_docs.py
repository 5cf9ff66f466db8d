# SPDX-License-Identifier: MIT
"""The block of docs/trainers.md for TorchRL."""

from ecosystem.blocks import run_block


def test_block(tmp_path):
    run_block("TorchRL", tmp_path)
