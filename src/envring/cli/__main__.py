# SPDX-License-Identifier: MIT
"""The command `python -m envring.cli`."""

from envring.cli import main

main()
