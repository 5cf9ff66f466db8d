# SPDX-License-Identifier: MIT
"""Envs to look at while they are stepped: rates, pictures in the terminal, and as a file."""
