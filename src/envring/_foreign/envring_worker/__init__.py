# SPDX-License-Identifier: MIT
"""Worker side of envring: portable to CPython 2.7 and 3.6+, needs only the stdlib and numpy."""
