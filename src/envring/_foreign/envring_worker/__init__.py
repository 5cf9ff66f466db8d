# SPDX-License-Identifier: MIT
"""Worker side of envring: runs in CPython 2.7 and 3.6+, needs only the stdlib and numpy."""
