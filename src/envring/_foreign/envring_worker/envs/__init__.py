# SPDX-License-Identifier: MIT
"""Envs of any generation behind one interface."""
