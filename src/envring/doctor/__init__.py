# SPDX-License-Identifier: MIT
"""Checks whether this machine and this installation suit, and says what to change."""
