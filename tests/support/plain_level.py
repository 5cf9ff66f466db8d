# SPDX-License-Identifier: MIT
"""Beside plain_game.py, which imports it."""

START = 7.0
